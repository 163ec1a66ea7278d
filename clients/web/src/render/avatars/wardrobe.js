/**
 * Who wears a VRM, and which of them are drawn as that: the nearest few.
 *
 * A person whose look names a VRM is drawn as the default body until that file is there, and again
 * when others are nearer; so nobody is ever missing. What is put off is disposed of wholly. What
 * that needs is fetched when the first VRM is worn.
 */

/** @typedef {import("./vrm_figure.js").VrmFigure} VrmFigure */
/** @typedef {import("./vrm_library.js").VrmLibrary} VrmLibrary */
/** @typedef {import("./actor.js").Actor} Actor */
/** @typedef {import("./crowd.js").CrowdOptions} CrowdOptions */
/** @typedef {import("../../../vendor/three.js").Group} Group */

const WORN_MAX = Object.freeze({ low: 2, medium: 4, high: 8 });
const REACH_M = 20;
/** Who wears it already keeps it a little longer, so that two at the edge do not take turns. */
const KEEP_M = 3;

/** @typedef {{actor: Actor, hash: string, figure: VrmFigure | null, isGone: boolean}} Worn */

export class Wardrobe {
  #group;
  #options;
  /** None before the first VRM. @type {VrmLibrary | null} */
  #library = null;
  /** @type {Map<number, Worn>} by entity */
  #worn = new Map();
  #limitM = REACH_M;
  /** What draws a VRM could not be fetched: everybody stays the default body. */
  #isBare = false;

  /**
   * @param {Group} group
   * @param {CrowdOptions} options
   */
  constructor(group, options) {
    this.#group = group;
    this.#options = options;
  }

  /** How many are drawn as a VRM. */
  get count() {
    let sum = 0;
    for (const worn of this.#worn.values()) if (worn.figure) sum += 1;
    return sum;
  }

  /** Files that are held. */
  get files() {
    return this.#library?.count ?? 0;
  }

  /** @param {CrowdOptions} options */
  configure(options) {
    this.#options = options;
  }

  /**
   * The look changed: what was worn before is put off.
   * @param {Actor} actor
   */
  dress(actor) {
    if (this.#worn.get(actor.id)?.hash !== actor.look.vrm) this.release(actor);
    else if (this.#worn.get(actor.id)?.figure) this.#worn.get(actor.id)?.figure?.measure(actor);
  }

  /** @param {Actor} actor */
  release(actor) {
    const worn = this.#worn.get(actor.id);
    if (!worn) return;
    this.#worn.delete(actor.id);
    worn.isGone = true;
    worn.figure?.dispose();
    worn.figure = null;
    if (actor.isCostumed) {
      actor.isCostumed = false;
      actor.rig.shape(actor.look, actor.solver.body);
    }
  }

  /**
   * @param {readonly Actor[]} order nearest first
   * @param {number} seconds
   * @param {number} dt
   */
  update(order, seconds, dt) {
    const most = WORN_MAX[this.#options.quality] ?? WORN_MAX.medium;
    let count = 0;
    this.#limitM = REACH_M;
    for (let k = 0; k < order.length; k++) {
      const actor = order[k];
      const { vrm } = actor.look;
      if (!vrm || actor.isHidden || this.#isBare || this.#library?.hasFailed(vrm)) continue;
      const worn = this.#worn.get(actor.id);
      const isWanted = count < most && actor.distanceM < this.#limitM + (worn ? KEEP_M : 0);
      if (isWanted) {
        count += 1;
        if (!worn) this.#putOn(actor);
      } else if (worn) this.release(actor);
    }
    for (const { actor, figure } of this.#worn.values()) figure?.update(actor, dt);
  }

  dispose() {
    for (const { actor } of [...this.#worn.values()]) this.release(actor);
  }

  /** @param {Actor} actor */
  #putOn(actor) {
    /** @type {Worn} */
    const worn = { actor, hash: actor.look.vrm, figure: null, isGone: false };
    this.#worn.set(actor.id, worn);
    this.#make(worn.hash).then((figure) => {
      if (worn.isGone) {
        figure.dispose();
        return;
      }
      worn.figure = figure;
      figure.measure(actor);
      actor.isCostumed = true;
      this.#group.add(figure.pivot);
    }, () => {
      // The library said why; the default body stays.
      if (!worn.isGone) this.release(actor);
    });
  }

  /** @param {string} hash */
  async #make(hash) {
    const [{ VrmFigure }, { VrmLibrary }] = await Promise.all([
      import("./vrm_figure.js"), import("./vrm_library.js"),
    ]).catch((error) => {
      this.#isBare = true;
      throw error;
    });
    this.#library ??= new VrmLibrary((wanted) => this.#options.assetUrl(wanted));
    return new VrmFigure(await this.#library.load(hash));
  }
}
