/**
 * The signs over people's heads, drawn as paths: no font has to know them.
 *
 * Each is drawn in a square of side 1, in white on a dark outline; the label gives the colour.
 */

/** @typedef {(ctx: CanvasRenderingContext2D) => void} Path */

const TURN = 2 * Math.PI;

/** @param {CanvasRenderingContext2D} ctx */
function wave(ctx) {
  ctx.lineWidth = 0.13;
  for (let finger = 0; finger < 4; finger++) {
    const x = 0.36 + finger * 0.125;
    ctx.moveTo(x, 0.55);
    ctx.lineTo(x + (finger - 1.5) * 0.045, finger === 0 || finger === 3 ? 0.26 : 0.18);
  }
  ctx.moveTo(0.38, 0.68);
  ctx.lineTo(0.19, 0.5);
  ctx.moveTo(0.55, 0.62);
  ctx.ellipse(0.55, 0.64, 0.2, 0.2, 0, 0, TURN);
}

/** @param {CanvasRenderingContext2D} ctx */
function heart(ctx) {
  ctx.moveTo(0.5, 0.84);
  ctx.bezierCurveTo(-0.02, 0.5, 0.12, 0.12, 0.35, 0.16);
  ctx.bezierCurveTo(0.44, 0.17, 0.49, 0.25, 0.5, 0.32);
  ctx.bezierCurveTo(0.51, 0.25, 0.56, 0.17, 0.65, 0.16);
  ctx.bezierCurveTo(0.88, 0.12, 1.02, 0.5, 0.5, 0.84);
}

/** @param {CanvasRenderingContext2D} ctx */
function applause(ctx) {
  ctx.ellipse(0.42, 0.62, 0.15, 0.25, -0.5, 0, TURN);
  ctx.moveTo(0.75, 0.6);
  ctx.ellipse(0.6, 0.6, 0.14, 0.25, 0.45, 0, TURN);
  ctx.lineWidth = 0.07;
  for (const [x, y, dx] of [[0.3, 0.3, -0.08], [0.5, 0.25, 0], [0.7, 0.3, 0.08]]) {
    ctx.moveTo(x, y);
    ctx.lineTo(x + dx, y - 0.13);
  }
}

/** @param {CanvasRenderingContext2D} ctx */
function question(ctx) {
  ctx.lineWidth = 0.14;
  ctx.moveTo(0.33, 0.34);
  ctx.bezierCurveTo(0.33, 0.08, 0.7, 0.1, 0.68, 0.34);
  ctx.bezierCurveTo(0.67, 0.48, 0.5, 0.48, 0.5, 0.62);
  ctx.moveTo(0.501, 0.82);
  ctx.lineTo(0.5, 0.82);
}

/** @param {CanvasRenderingContext2D} ctx */
function laugh(ctx) {
  ctx.lineWidth = 0.08;
  ctx.ellipse(0.5, 0.5, 0.36, 0.36, 0, 0, TURN);
  ctx.moveTo(0.28, 0.42);
  ctx.quadraticCurveTo(0.36, 0.3, 0.43, 0.42);
  ctx.moveTo(0.57, 0.42);
  ctx.quadraticCurveTo(0.64, 0.3, 0.72, 0.42);
  ctx.moveTo(0.3, 0.55);
  ctx.quadraticCurveTo(0.5, 0.86, 0.7, 0.55);
  ctx.closePath();
}

/** @param {CanvasRenderingContext2D} ctx */
function dance(ctx) {
  ctx.lineWidth = 0.09;
  ctx.moveTo(0.36, 0.74);
  ctx.lineTo(0.36, 0.24);
  ctx.lineTo(0.76, 0.16);
  ctx.lineTo(0.76, 0.66);
  ctx.moveTo(0.36, 0.74);
  ctx.ellipse(0.28, 0.75, 0.09, 0.07, -0.3, 0, TURN);
  ctx.moveTo(0.76, 0.67);
  ctx.ellipse(0.68, 0.67, 0.09, 0.07, -0.3, 0, TURN);
}

/** @param {CanvasRenderingContext2D} ctx */
function speaking(ctx) {
  ctx.lineWidth = 0.1;
  for (const [x, half] of [[0.22, 0.1], [0.36, 0.22], [0.5, 0.34], [0.64, 0.22], [0.78, 0.1]]) {
    ctx.moveTo(x, 0.5 - half);
    ctx.lineTo(x, 0.5 + half);
  }
}

/** @param {CanvasRenderingContext2D} ctx */
function typing(ctx) {
  ctx.lineWidth = 0.17;
  for (const x of [0.22, 0.5, 0.78]) {
    ctx.moveTo(x, 0.5);
    ctx.lineTo(x + 0.001, 0.5);
  }
}

/** @param {CanvasRenderingContext2D} ctx */
function linkLost(ctx) {
  ctx.lineWidth = 0.09;
  for (const radius of [0.18, 0.36, 0.54]) {
    ctx.moveTo(0.5 + radius * Math.cos(-2.3), 0.8 + radius * Math.sin(-2.3));
    ctx.arc(0.5, 0.8, radius, -2.3, -0.84);
  }
  ctx.moveTo(0.2, 0.18);
  ctx.lineTo(0.8, 0.84);
}

/** @typedef {{draw: Path, colour: number, isFilled: boolean}} Sign */

/** By the number of the emote. @type {Sign[]} */
export const EMOTE_SIGNS = [
  { draw: wave, colour: 0xffd27a, isFilled: true },
  { draw: heart, colour: 0xff5a78, isFilled: true },
  { draw: applause, colour: 0xffd27a, isFilled: true },
  { draw: question, colour: 0x8fd0ff, isFilled: false },
  { draw: laugh, colour: 0xffe06a, isFilled: false },
  { draw: dance, colour: 0xc9a2ff, isFilled: false },
];
export const SPEAKING = { draw: speaking, colour: 0x7dec9a, isFilled: false };
export const TYPING = { draw: typing, colour: 0xdfe6f2, isFilled: false };
export const LINK_LOST = { draw: linkLost, colour: 0xffb0a0, isFilled: false };

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} width @param {number} height of the cell; the sign is in its middle
 * @param {Sign} sign
 */
export function paintSign(ctx, width, height, { draw, isFilled }) {
  const side = height * 0.86;
  ctx.translate((width - side) / 2, (height - side) / 2);
  ctx.scale(side, side);
  ctx.lineCap = ctx.lineJoin = "round";
  ctx.beginPath();
  draw(ctx);
  const own = ctx.lineWidth === 1 ? 0.06 : ctx.lineWidth;
  ctx.strokeStyle = ctx.fillStyle = "#000";
  ctx.lineWidth = own + 0.12;
  ctx.stroke();
  ctx.strokeStyle = ctx.fillStyle = "#f00";
  ctx.lineWidth = own;
  ctx.stroke();
  if (isFilled) ctx.fill();
}
