/**
 * What the page around the world needs from the rest, and nothing more.
 *
 * All of it is types. Positions are metres of the world, yaw as on the wire: 0 looks north (-z) and
 * grows to the left. A port that is optional may be missing for good (no voice in this browser):
 * then what it serves is not shown, or says so.
 */

/** @typedef {{code: number, reason: string, retry_ms: number}} Answer */
/** @typedef {import("../core/world_model.js").WorldModel} WorldModel */
/** @typedef {import("../core/chat_log.js").ChatLine} ChatLine */
/** @typedef {import("../page/settings.js").Settings} Settings */
/** @typedef {import("../net/account.js").Account} Account */
/** @typedef {{id: number, index: number, kind: number, name: string, avatar: string}} Person */

/**
 * @typedef {object} Actions
 * @property {(name: string) => void} join comes in, with the account's token if there is one
 * @property {() => void} leave
 * @property {() => void} retry dials at once instead of waiting
 * @property {() => number} retryInMs how long until the link dials again
 * @property {(text: string) => Promise<Answer | null>} setAvatar null: kept for the next join
 * @property {() => void} focusWorld gives the keys to the world
 * @property {(mode: "immersive-vr" | "immersive-ar") => Promise<string>} [enterXr]
 *   resolves to why not, or to nothing
 * @property {() => void} [build] opens or closes the build mode
 * @property {() => void} toggleView
 * @property {(x: number, z: number) => void} goTo walks there
 * @property {(entityId: number) => void} lookAt
 * @property {(entityId: number) => void} showWhere marks the way to somebody
 * @property {(emote: number) => void} emote
 */

/**
 * @typedef {object} VoicePort
 * @property {"off" | "listen" | "talk"} mode
 * @property {() => number} level loudness of the microphone, 0..1
 * @property {(mode: "off" | "listen" | "talk") => Promise<string>} setMode
 *   resolves to why not, or to nothing
 * @property {(entityId: number) => number} volumeOf 0..1
 * @property {(entityId: number, volume: number) => void} setVolume
 * @property {(isHeld: boolean) => void} [hold] the key for talking is down
 */

/** @typedef {{fps: number}} Figures */

/**
 * @typedef {object} UiOptions
 * @property {WorldModel} model
 * @property {Settings} settings
 * @property {Account} account
 * @property {Actions} actions
 * @property {VoicePort | null} [voice]
 * @property {() => Figures} [figures] of the picture, now
 * @property {() => Promise<import("./look_panel.js").LookPorts>} [look] without it there is no
 *   avatar maker
 */

export {};
