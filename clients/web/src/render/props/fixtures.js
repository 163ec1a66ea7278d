/**
 * Props that are places more than things: portals, seats, and what only builders see.
 *
 * A portal is a ring that turns slowly, with a veil in it. A seat is a cushion. Spawns, zones, NPC
 * posts and groups are drawn as outlines while somebody builds, and not at all otherwise.
 * Geometries and materials are shared by all and made once.
 */

import {
  BoxGeometry, CircleGeometry, CylinderGeometry, DoubleSide, EdgesGeometry, Group,
  LineBasicMaterial, LineSegments, Mesh, MeshBasicMaterial, MeshStandardMaterial,
  OctahedronGeometry, TorusGeometry,
} from "../../../vendor/three.js";

/** @typedef {import("../../core/protocol.generated.js").Properties} Properties */
/** @typedef {"seat" | "portal" | "spawn" | "zone" | "npc_post" | "group"} FixtureKind */

export const FIXTURES = new Set(["seat", "portal", "spawn", "zone", "npc_post", "group"]);
/** Of them, those that only builders see. */
export const BUILDERS_ONLY = new Set(["spawn", "zone", "npc_post", "group"]);

const PORTAL_M = 1.1;
const stone = new MeshStandardMaterial({ color: 0x2f6f6b, roughness: 0.4, metalness: 0.1 });
const veil = new MeshBasicMaterial({ color: 0x9fe0d2, transparent: true, opacity: 0.35,
  side: DoubleSide, depthWrite: false });
const cloth = new MeshStandardMaterial({ color: 0xb4593f, roughness: 0.95 });
const lines = new LineBasicMaterial({ color: 0x2f6f6b });
const ring = new TorusGeometry(PORTAL_M, 0.09, 12, 48);
const disc = new CircleGeometry(PORTAL_M - 0.05, 40);
const cushion = new CylinderGeometry(0.26, 0.24, 0.07, 20);
const boxEdges = new EdgesGeometry(new BoxGeometry(1, 1, 1));
const discEdges = new EdgesGeometry(new CylinderGeometry(1, 1, 0.04, 24));
const postEdges = new EdgesGeometry(new OctahedronGeometry(0.35));

/**
 * What stands for a prop of such a kind.
 * @param {Properties} properties
 * @returns {Group}
 */
export function makeFixture(properties) {
  const group = new Group();
  switch (properties.kind) {
    case "portal": {
      const frame = new Mesh(ring, stone);
      frame.castShadow = true;
      frame.position.y = PORTAL_M;
      const sheet = new Mesh(disc, veil);
      sheet.position.y = PORTAL_M;
      group.add(frame, sheet);
      group.userData.spins = sheet;
      break;
    }
    case "seat": {
      const seat = new Mesh(cushion, cloth);
      seat.position.y = -0.03;
      seat.castShadow = seat.receiveShadow = true;
      group.add(seat);
      break;
    }
    case "spawn": {
      const edge = new LineSegments(discEdges, lines);
      edge.scale.set(properties.radius_m || 0.3, 1, properties.radius_m || 0.3);
      group.add(edge);
      break;
    }
    case "zone":
      group.add(new LineSegments(boxEdges, lines));
      break;
    default:
      group.add(new LineSegments(postEdges, lines));
  }
  return group;
}

/** Lets a portal's veil breathe. @param {Group} fixture @param {number} seconds */
export function animateFixture(fixture, seconds) {
  const sheet = fixture.userData.spins;
  if (sheet) sheet.scale.setScalar(0.97 + 0.03 * Math.sin(seconds * 2.1));
}
