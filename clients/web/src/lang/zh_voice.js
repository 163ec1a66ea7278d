/** 关于语音的文字；由 zh.js 收入。 */

/** @type {Readonly<Record<keyof typeof import("./en_voice.js").voice, string>>} */
export const voice = Object.freeze({
  "voice.title": "与周围的人语音交谈？",
  "voice.howItWorks": "你会听到附近最多六个人的声音；麦克风打开时，他们也能听到你。声音在浏览器之间直接传送。",
  "voice.address": "因此这些人（仅限他们）可能得知你的网络地址，与视频通话相同。",
  "voice.yes": "使用语音",
  "voice.insecure": "浏览器只允许 https 页面使用麦克风。请向服务器管理员索取 https 地址。",
  "voice.refused": "浏览器未获准使用麦克风。请在浏览器设置中为本页面开启权限，然后重试。",
  "voice.missing": "没有找到麦克风。请连接麦克风后重试。",
  "voice.busy": "麦克风暂时无法使用。请关闭正在使用它的其他程序，然后重试。",
  "voice.failed": "语音功能加载失败。请稍后重试。",
});
