/** What is said about voice, in English; en.js takes it in. */

export const voice = Object.freeze({
  "voice.title": "Talk with those around you?",
  "voice.howItWorks": "You hear up to six people near you, and they hear you while your microphone "
    + "is on. The sound goes from browser to browser.",
  "voice.address": "So they, and nobody else, can learn the network address of your connection, "
    + "much as in a video call.",
  "voice.yes": "Use voice",
  "voice.insecure": "The browser gives out the microphone only to pages with https. Ask who runs "
    + "this server for an https address.",
  "voice.refused": "The browser was not allowed to use the microphone. Allow it for this page in "
    + "the browser's settings, then try again.",
  "voice.missing": "No microphone was found. Connect one, then try again.",
  "voice.busy": "The microphone cannot be used just now. Close other programs that use it, then "
    + "try again.",
  "voice.failed": "Voice could not be loaded. Try again in a moment.",
});
