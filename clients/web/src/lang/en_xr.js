/** What is said in and about headsets, in English. */

export const headsets = Object.freeze({
  "xr.none": "This browser knows no headsets. Use the headset's own browser, or a current Chrome.",
  "xr.insecure": "Headsets work over HTTPS only. Ask who runs this server to start it with a "
    + "certificate, and open the address that begins with https.",
  "xr.noDevice": "No headset that can do this was found. Connect one, or open this page in the "
    + "headset's own browser.",
  "xr.policy": "The page that this one is embedded in does not allow headsets. Open it in a tab "
    + "of its own.",
  "xr.already": "You are in a headset already. Leave that first.",
  "xr.refused": "The headset was not given to this page. Allow it in the browser, and try again.",
  "xr.microphone": "Microphone",
  "xr.voices": "Hear others",
  "xr.safeZone": "Safe zone",
  "xr.emotes": "Gestures",
  "xr.phrases": "Say …",
  "xr.people": "People nearby",
  "xr.smoothTurn": "Smooth turning",
  "xr.smoothMove": "Walk by stick",
  "xr.seated": "I am seated",
  "xr.boundary": "Keep people away",
  "xr.recentre": "Recentre",
  "xr.leave": "Leave the headset",
  "xr.back": "Back",
  "xr.mute": "Mute {name}",
  "xr.block": "Block {name}",
  "xr.phrase.0": "Hello!",
  "xr.phrase.1": "Yes",
  "xr.phrase.2": "No",
  "xr.phrase.3": "Thank you!",
  "xr.phrase.4": "Come along!",
  "xr.phrase.5": "Back in a moment.",
  "xr.again": "Put it elsewhere",
  "xr.show": "Show a place",
  "xr.align": "Align to {name}",
  "xr.leaveAr": "Leave",
  "xr.marker": "{name} shows a place. To see the world at the same place of the room, choose Align "
    + "and press on the same point, facing the same way.",
  "xr.do.place": "Look at the floor or a table and press to put the world there.",
  "xr.do.show": "Press on a point of the floor that the others can find, facing the way they will.",
  "xr.do.align": "Press on the point that was shown, facing the same way.",
  "xr.do.keep": "Hold it with two hands or fingers to turn and scale it.",
});
