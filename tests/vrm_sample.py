"""A small VRM 1.0 avatar of our own: boxes on a humanoid skeleton, with a picture and a blink.

What tests need of a VRM is all there: the required bones, the optional ones but fingers, a look-at,
an expression by a morph target, and a texture. Run as a program it writes one to a file:

    python tests/vrm_sample.py blocky.vrm
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

Triple = tuple[float, float, float]
_FLOAT, _SHORT = 5126, 5123
_VERTICES, _INDICES = 34962, 34963


@dataclass(frozen=True)
class Bone:
    """A joint: its parent, where it is from there, and the box that shows it."""

    parent: str | None
    at: Triple
    half: Triple
    middle: Triple = (0.0, 0.0, 0.0)


def _limbs(side: str, x: float) -> dict[str, Bone]:
    return {
        f"{side}Shoulder": Bone("chest", (x * 0.05, 0.2, 0), (0.03, 0.03, 0.03)),
        f"{side}UpperArm": Bone(f"{side}Shoulder", (x * 0.14, 0, 0), (0.13, 0.045, 0.045),
                                (x * 0.13, 0, 0)),
        f"{side}LowerArm": Bone(f"{side}UpperArm", (x * 0.27, 0, 0), (0.12, 0.04, 0.04),
                                (x * 0.12, 0, 0)),
        f"{side}Hand": Bone(f"{side}LowerArm", (x * 0.25, 0, 0), (0.08, 0.02, 0.045),
                            (x * 0.07, 0, 0)),
        f"{side}UpperLeg": Bone("hips", (x * 0.09, -0.06, 0), (0.07, 0.2, 0.07), (0, -0.2, 0)),
        f"{side}LowerLeg": Bone(f"{side}UpperLeg", (0, -0.42, 0), (0.06, 0.2, 0.06),
                                (0, -0.2, 0)),
        f"{side}Foot": Bone(f"{side}LowerLeg", (0, -0.42, 0), (0.05, 0.03, 0.11),
                            (0, -0.02, 0.05)),
    }


BONES: Final[dict[str, Bone]] = {
    "hips": Bone(None, (0, 0.95, 0), (0.15, 0.09, 0.09)),
    "spine": Bone("hips", (0, 0.12, 0), (0.14, 0.1, 0.08), (0, 0.08, 0)),
    "chest": Bone("spine", (0, 0.2, 0), (0.17, 0.14, 0.1), (0, 0.1, 0)),
    "neck": Bone("chest", (0, 0.28, 0), (0.05, 0.05, 0.05), (0, 0.03, 0)),
    "head": Bone("neck", (0, 0.08, 0), (0.1, 0.13, 0.11), (0, 0.12, 0)),
    **_limbs("left", 1.0),
    **_limbs("right", -1.0),
}


@dataclass
class _Binary:
    """The binary part of a GLB, with the views and accessors that name its pieces."""

    data: bytes = b""
    views: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    accessors: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def view(self, raw: bytes, **more: int) -> int:
        self.views.append(
            {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw), **more}
        )
        self.data += raw + b"\0" * (-len(raw) % 4)
        return len(self.views) - 1

    def triples(self, values: np.ndarray) -> int:
        values = values.astype("<f4")
        self.accessors.append({
            "bufferView": self.view(values.tobytes(), target=_VERTICES), "componentType": _FLOAT,
            "count": len(values), "type": f"VEC{values.shape[1]}",
            "min": values.min(0).tolist(), "max": values.max(0).tolist(),
        })
        return len(self.accessors) - 1

    def indices(self, values: np.ndarray) -> int:
        raw = values.astype("<u2").tobytes()
        self.accessors.append({
            "bufferView": self.view(raw, target=_INDICES), "componentType": _SHORT,
            "count": values.size, "type": "SCALAR",
        })
        return len(self.accessors) - 1


def _cube() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners, normals and triangles of a cube from -1 to 1, with flat sides."""
    corners: list[np.ndarray] = []
    normals: list[np.ndarray] = []
    triangles: list[int] = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            normal = np.zeros(3)
            normal[axis] = sign
            u = np.roll(normal, 1)
            v = np.cross(normal, u)
            first = len(corners)
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                corners.append(normal + a * u + b * v)
                normals.append(normal)
            triangles += [first + k for k in (0, 1, 2, 0, 2, 3)]
    return np.array(corners), np.array(normals), np.array(triangles)


def _png() -> bytes:
    """Eight by eight pixels in two colours."""
    rows = b"".join(
        b"\0" + b"".join(
            bytes((90, 150, 230) if (x + y) % 2 else (240, 200, 90)) for x in range(8)
        )
        for y in range(8)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


def _parts(binary: _Binary) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The nodes, one for each bone, and a mesh for each."""
    corners, normals, triangles = _cube()
    normal, index = binary.triples(normals), binary.indices(triangles)
    uv = binary.triples((corners[:, :2] + 1) / 2)
    names = list(BONES)
    nodes: list[dict[str, Any]] = []
    meshes: list[dict[str, Any]] = []
    for number, (name, bone) in enumerate(BONES.items()):
        place = binary.triples(corners * np.array(bone.half) + np.array(bone.middle))
        primitive: dict[str, Any] = {
            "attributes": {"POSITION": place, "NORMAL": normal, "TEXCOORD_0": uv},
            "indices": index, "material": 0,
        }
        if name == "head":
            lids = binary.triples(np.where(corners[:, 1:2] > 0, [[0, -0.02, 0]], [[0, 0, 0]]))
            primitive["targets"] = [{"POSITION": lids}]
        meshes.append({"primitives": [primitive]})
        node: dict[str, Any] = {"name": name, "translation": list(bone.at), "mesh": number}
        children = [k for k, other in enumerate(names) if BONES[other].parent == name]
        if children:
            node["children"] = children
        nodes.append(node)
    return nodes, meshes


def vrm_document() -> tuple[dict[str, Any], bytes]:
    """The JSON of the avatar and its binary part."""
    binary = _Binary()
    nodes, meshes = _parts(binary)
    picture = binary.view(_png())
    names = list(BONES)
    vrm: dict[str, Any] = {
        "specVersion": "1.0",
        "meta": {
            "name": "Blocky", "authors": ["Atrium"], "version": "1",
            "licenseUrl": "https://vrm.dev/licenses/1.0/", "avatarPermission": "everyone",
            "allowRedistribution": True, "modification": "allowModificationRedistribution",
        },
        "humanoid": {"humanBones": {name: {"node": k} for k, name in enumerate(names)}},
        "lookAt": {"type": "bone", "offsetFromHeadBone": [0, 0.1, 0]},
        "expressions": {"preset": {"blink": {"morphTargetBinds": [
            {"node": names.index("head"), "index": 0, "weight": 1.0}
        ]}}},
    }
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "Atrium's tests"},
        "extensionsUsed": ["VRMC_vrm", "VRMC_springBone", "KHR_texture_transform"],
        "extensions": {"VRMC_vrm": vrm, "VRMC_springBone": {"specVersion": "1.0"}},
        "scene": 0, "scenes": [{"nodes": [0]}], "nodes": nodes, "meshes": meshes,
        "materials": [{"pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0}, "metallicFactor": 0, "roughnessFactor": 0.8,
        }}],
        "images": [{"bufferView": picture, "mimeType": "image/png"}],
        "samplers": [{}], "textures": [{"source": 0, "sampler": 0}],
        "accessors": binary.accessors, "bufferViews": binary.views,
        "buffers": [{"byteLength": len(binary.data)}],
    }
    return document, binary.data


def vrm_bytes(document: dict[str, Any] | None = None, binary: bytes | None = None) -> bytes:
    """The avatar as a file; a changed document in its place."""
    own, data = vrm_document()
    text = json.dumps(document or own, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    data = binary if binary is not None else data
    size = 12 + 8 + len(text) + 8 + len(data)
    return (struct.pack("<4sII", b"glTF", 2, size) + struct.pack("<I4s", len(text), b"JSON") + text
            + struct.pack("<I4s", len(data), b"BIN\0") + data)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(vrm_bytes())
