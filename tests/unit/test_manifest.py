"""The manifest: what it accepts, how it names mistakes, and that no text breaks its parser."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_server.world.colliders import build_colliders
from atrium_server.world.manifest import Manifest, parse_manifest
from atrium_server.world.manifest_reader import MISTAKES_SHOWN_MAX, ManifestError
from atrium_server.world.movement import MoveRules, walkable
from atrium_server.world.toml_lines import TomlLines
from atrium_shared import limits

REPOSITORY = Path(__file__).parents[2]
SHIPPED = sorted(
    [
        *(REPOSITORY / "server/atrium_server/worlds").glob("*.toml"),
        *(REPOSITORY / "loadtest/atrium_loadtest/worlds").glob("*.toml"),
    ]
)

SMALL = """\
[world]
name = "small"

[extent]
min = [-10.0, -1.0, -10.0]
max = [10.0, 9.0, 10.0]

[[spawn]]
position = [0.0, 0.0, 0.0]
"""


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text, "w.toml")
    return list(caught.value.mistakes)


def parsed(text: str) -> tuple[Manifest | None, tuple[str, ...]]:
    """The manifest or its mistakes."""
    try:
        return parse_manifest(text, "w.toml"), ()
    except ManifestError as error:
        return None, error.mistakes


def with_added(text: str) -> list[str]:
    """The mistakes of SMALL with `text` behind it, whose first line is line 11."""
    return mistakes_of(SMALL + "\n" + text)


def test_defaults():
    manifest = parse_manifest(SMALL, "w.toml")
    assert (manifest.name, manifest.title) == ("small", "small")
    assert (manifest.tick_rate_hz, manifest.capacity, manifest.seed) == (20, 1024, 0)
    assert manifest.interest.radius_m == manifest.interest.full_rate_radius_m
    assert manifest.interest.radius_m == manifest.interest.half_rate_radius_m
    assert manifest.movement.speed_m_per_s_max == 6.0
    assert manifest.movement.reach_m_max == 1.3
    assert manifest.nearby_m == 20.0
    assert manifest.floor_m == 0.0
    assert manifest.extent_mm == ((-10_000, -1_000, -10_000), (10_000, 9_000, 10_000))


def test_everything_stated_is_read():
    manifest = parse_manifest(
        SMALL.replace("[world]", "[world]\ntitle = 'A Place'\ntick_rate_hz = 30\nseed = 7")
        + """
yaw_deg = 90
radius_m = 2
[floor]
height_m = -0.5
[interest]
radius_m = 40
hysteresis_m = 3
cap = 100
full_rate_radius_m = 10
half_rate_radius_m = 20
[movement]
jump_m_max = 0
[chat]
nearby_m = 5
[[box]]
name = "a"
center = [5, 1, 5]
size = [1, 2, 3]
yaw_deg = -30
[[cylinder]]
name = "c"
center = [-5, 1, 5]
radius_m = 0.5
height_m = 2
[[seat]]
name = "s"
position = [1, 0.4, 1]
[[zone]]
name = "z"
kind = "quiet"
center = [0, 0, 0]
size = [4, 4, 4]
""",
        "w.toml",
    )
    assert (manifest.title, manifest.tick_rate_hz, manifest.seed) == ("A Place", 30, 7)
    assert (manifest.spawns[0].yaw_deg, manifest.spawns[0].radius_m) == (90.0, 2.0)
    assert (manifest.interest.full_rate_radius_m, manifest.interest.cap) == (10.0, 100)
    assert (manifest.boxes[0].size, manifest.boxes[0].yaw_deg) == ((1.0, 2.0, 3.0), -30.0)
    assert manifest.cylinders[0].radius_m == 0.5
    assert manifest.seats[0].position == (1.0, 0.4, 1.0)
    assert manifest.zones[0].kind == "quiet"
    assert manifest.movement.jump_m_max == 0.0
    assert (manifest.nearby_m, manifest.floor_m) == (5.0, -0.5)


@pytest.mark.parametrize(
    ("added", "line", "part"),
    [
        ("[portals]\n", 11, "known: world"),
        ("[interst]\nradius_m = 3\n", 11, "did you mean interest?"),
        ("[interest]\n\nradius = 3\n", 13, "'radius' is not known here; did you mean radius_m?"),
        ("[interest]\ncap = 256\n", 12, "cap must be a whole number from 1 to 255, not 256"),
        ("[interest]\ncap = true\n", 12, "not True"),
        ("[interest]\nradius_m = 10\nfull_rate_radius_m = 12\n", 13, "must not exceed"),
        ("[interest]\nradius_m = nan\n", 12, "radius_m must be a number from 1 to"),
        ("[movement]\nspeed_m_per_s_max = 1e9\n", 12, "from 0.1 to 50, not 1000000000.0"),
        ("[floor]\nheight_m = 20\n", 12, "height_m must lie within the extent's y"),
        ("[[box]]\nname = 'a'\nsize = [1, 1, 1]\n", 11, "[[box]] 1: center is missing"),
        ("[[box]]\nname = 'a'\ncenter = [1, 1]\nsize = [1, 1, 1]\n", 13, "three numbers"),
        ("[[box]]\nname = 'a'\ncenter = [9, 9, 9]\nsize = [\n1, 1,\n0]\n", 14, "size must be"),
        ("[[box]]\nname = 'A b'\ncenter = [9, 9, 9]\nsize = [1, 1, 1]\n", 12, "small letters"),
        ("[[box]]\nname = 'a'\ncenter = [9,9,9]\nsize = [1,1,1]\n" * 2, 16, "'a' is taken"),
        ("[[box]]\nname = 'a'\ncenter = [0,1,0]\nsize = [1,2,1]\n", 9, "lies inside of 'a'"),
        ("[[box]]\nname='a'\ncenter=[0,1,0.7]\nsize=[1,2,1]\nyaw_deg = 45\n", 9, "inside of 'a'"),
        ("[[cylinder]]\nname = 'c'\ncenter = [1,1,0]\nradius_m = 0.8\nheight_m = 2\n", 9, "'c'"),
        ("[[cylinder]]\nname = 'c'\ncenter = [1,1,0]\nradius_m = -1\nheight_m = 2\n", 14, "0.01"),
        ("[[spawn]]\nposition = [9, 0, 0]\nradius_m = 1.5\n", 12, "within the extent"),
        ("[[seat]]\nname = 'a'\nposition = [11, 0, 0]\n", 13, "within the extent"),
        ("[[zone]]\nname = 'a'\nkind = 'pool'\ncenter = [0,0,0]\nsize = [1,1,1]\n", 13, "'stage'"),
        ("box = 3\n", 11, "'box' is not known here"),
        ("[box]\n", 11, "write each box as a table under [[box]]"),
        ("[chat]\nnearby_m = 0xfffff" + "f" * 20_000, 12, "not a value that long"),
        ("[floor]\nheight_m = '" + "long " * 100 + "'\n", 12, "…"),
        ("x =\n", 11, "this is not TOML"),
        ('x = "', 11, "this is not TOML"),
        ("x = " + "[" * 5_000, 1, "nested too deeply"),
    ],
)
def test_a_mistake_names_its_line(added: str, line: int, part: str):
    mistakes = with_added(added)
    assert len(mistakes) == 1, mistakes
    assert mistakes[0].startswith(f"w.toml:{line}: ")
    assert part in mistakes[0]


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        (SMALL.replace('"small"', '"' + "x" * 33 + '"'), 2, "1 to 32 small letters"),
        (SMALL.replace('name = "small"', "tick_rate_hz = 20"), 1, "name is missing"),
        (SMALL.replace("[-10.0", "[30.0"), 6, "max must be at least 1 m above min"),
        (SMALL.replace("9.0, 10.0", "66.0, 10.0"), 6, "the y of max"),
        (SMALL.replace(" 10.0]", " 9000.0]"), 6, "from -8388 to 8388"),
        (SMALL.replace('"small"', '"small"\ncapacity = 10001'), 3, "capacity"),
        (SMALL.replace('"small"', '"small"\ntitle = "a\\tb"'), 3, "printable"),
        (SMALL[: SMALL.index("[[spawn]]")], 1, "at least one [[spawn]]"),
        ("spawn = []\n" + SMALL[: SMALL.index("[[spawn]]")], 1, "at least one [[spawn]]"),
        ("x" * (limits.MANIFEST_BYTES_MAX + 1), 1, "at most 1048576 characters"),
        ("interest = 5\n" + SMALL, 1, "write a table [interest]"),
    ],
)
def test_a_mistake_in_what_every_world_states(text: str, line: int, part: str):
    mistakes = mistakes_of(text)
    assert mistakes[0].startswith(f"w.toml:{line}: ")
    assert part in mistakes[0]


def test_all_mistakes_are_told_in_the_order_of_lines():
    mistakes = with_added("[interest]\ncap = 0\nradus_m = 1\n[movement]\njump_m_max = -1\n")
    assert [int(mistake.split(":")[1]) for mistake in mistakes] == [12, 13, 15]


def test_one_slip_brings_no_follow_up_complaints():
    # The broken extent is told once, not again for the spawn that cannot be compared to it.
    assert len(mistakes_of(SMALL.replace("[-10.0, -1.0, -10.0]", "'wide'"))) == 1


def test_a_flood_of_mistakes_is_cut_in_the_message_only():
    mistakes_text = "\n".join(f"[[seat]]\nname = 'Bad{k}'\nposition = [0,0,0]" for k in range(80))
    with pytest.raises(ManifestError) as caught:
        parse_manifest(SMALL + mistakes_text, "w.toml")
    assert len(caught.value.mistakes) == 80
    assert str(caught.value).endswith(f"and {80 - MISTAKES_SHOWN_MAX} more mistakes")


def test_the_number_of_colliders_is_bounded_over_both_kinds():
    box = "[[box]]\nname = 'b{0}'\ncenter = [5,5,5]\nsize = [1,1,1]\n"
    round_ = "[[cylinder]]\nname = 'c{0}'\ncenter = [5,5,5]\nradius_m = 1\nheight_m = 1\n"
    many = "".join(box.format(k) for k in range(limits.COLLIDERS_MAX))
    assert len(parse_manifest(SMALL + many, "w").boxes) == limits.COLLIDERS_MAX
    assert any("together" in mistake for mistake in with_added(many + round_.format(0)))


def test_y_unit_grows_where_16_bits_do_not_reach():
    assert parse_manifest(SMALL, "w").y_unit_mm == 1
    assert parse_manifest(SMALL.replace("9.0", "32.767"), "w").y_unit_mm == 1
    assert parse_manifest(SMALL.replace("9.0", "32.768"), "w").y_unit_mm == 2


def test_the_extent_is_rounded_inwards():
    text = SMALL.replace("[10.0,", "[9.9996,").replace("[-10.0,", "[-9.0005,")
    low, high = parse_manifest(text, "w").extent_mm
    assert (low[0], high[0]) == (-9_000, 9_999)


def test_the_scene_is_canonical_and_its_version_follows_it():
    one = parse_manifest(SMALL, "one")
    same = parse_manifest("# a comment\n" + SMALL, "two")
    other = parse_manifest(SMALL.replace("9.0", "8.0"), "three")
    assert one.scene_json() == same.scene_json()
    assert one.scene_version == same.scene_version != other.scene_version
    assert re.fullmatch("[0-9a-f]{12}", one.scene_version)
    scene = json.loads(one.scene_json())
    assert scene["extent"] == {"min_m": [-10.0, -1.0, -10.0], "max_m": [10.0, 9.0, 10.0]}
    assert list(scene) == sorted(scene)
    assert {"boxes", "cylinders", "seats", "spawns", "zones", "interest_radius_m"} <= set(scene)


def test_lines_of_keys_in_every_form():
    lines = TomlLines(
        '# top\nplain = 1\n"quo ted" = """a\n[no]\n""" # tail\n\'lit\' = [ # [\n 1,\n "]" ]\n'
        "[a . b]\nc.d = {e = 1, f = '#'}\n[[t]]\nx = '''\n'''\n[[t]]\nx = 07:32:00\n[t.u]\ny = 2"
    )
    assert lines.line_of(("plain",)) == 2
    assert lines.line_of(("quo ted",)) == 3
    assert lines.line_of(("lit", 1)) == 6
    assert lines.line_of(("a",)) == lines.line_of(("a", "b")) == 9
    assert lines.line_of(("a", "b", "c", "d", "e")) == 10
    assert [lines.line_of(("t", k, "x")) for k in range(2)] == [12, 15]
    assert lines.line_of(("t", 1, "u", "y")) == 17
    assert lines.line_of(("nowhere",)) == 1


FRAGMENTS = [
    "[world]", "[[box]]", "[extent]", "[[spawn]]", "[world.x]", "name = ", "min = ", "size = ",
    "position = ", '"a"', "'''", '"""', "[1, 2, 3]", "[", "]", "{", "}", "{a = 1}", "=", ".", "\n",
    "1e999", "-inf", "nan", "0xff", "1979-05-27", "true", "#", "\\u0000", "\\", '"', " ", "\r",
]


@settings(max_examples=400)
@given(
    st.one_of(
        st.text(),
        st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4))).map("".join),
        st.lists(st.sampled_from(FRAGMENTS)).map(lambda tail: SMALL + "".join(tail)),
    )
)
def test_any_text_is_a_manifest_or_a_manifest_error(text: str):
    manifest, mistakes = parsed(text)
    assert (manifest is None) == bool(mistakes)
    if manifest is not None:
        json.loads(manifest.scene_json())
    for mistake in mistakes:
        found = re.match(r"w\.toml:(\d+): ", mistake)
        assert found is not None
        assert 1 <= int(found[1]) <= text.count("\n") + 1
        assert len(mistake) < 2_000


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300)
@given(
    st.sampled_from(sorted({line for line in SMALL.splitlines() if "=" in line})),
    VALUES,
)
def test_any_value_in_any_place_is_accepted_or_named(line: str, value: object):
    key = line.split(" = ")[0]
    written = json.dumps(value).replace("null", "''").replace("NaN", "nan")
    text = SMALL.replace(line, f"{key} = {written.replace('Infinity', 'inf')}")
    manifest, mistakes = parsed(text)
    assert (manifest is None) == bool(mistakes)
    assert all(re.match(r"w\.toml:[2569]: ", mistake) for mistake in mistakes)


def test_four_worlds_ship():
    assert {path.stem for path in SHIPPED} == {
        "arena_bench", "building_bench", "plaza_bench", "plaza",
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_worlds_parse_and_people_can_stand_where_they_arrive(path: Path):
    manifest = parse_manifest(path.read_text(encoding="utf-8"), path.name)
    colliders, rules = build_colliders(manifest), MoveRules.of(manifest)
    for spawn in manifest.spawns:
        x, y, z = spawn.position
        assert walkable(colliders, rules, x, y, z) == (True, y)


def test_the_plaza_receives_a_few_hundred_and_has_steps_to_its_stage():
    text = (REPOSITORY / "server/atrium_server/worlds/plaza.toml").read_text(encoding="utf-8")
    plaza = parse_manifest(text, "plaza.toml")
    assert sum(math.pi * spawn.radius_m**2 for spawn in plaza.spawns) > 400
    assert {zone.kind for zone in plaza.zones} == {"stage", "garden", "quiet"}
    colliders, rules = build_colliders(plaza), MoveRules.of(plaza)
    assert walkable(colliders, rules, 0.0, 0.0, -39.5) == (True, 0.4)
    assert walkable(colliders, rules, 0.0, 0.4, -45.0) == (True, 0.8)
    # Anywhere on the disc of each spawn, not in its middle alone.
    for spawn in plaza.spawns:
        for k in range(32):
            angle, reach = 2.4 * k, spawn.radius_m * math.sqrt(k / 31)
            x = spawn.position[0] + reach * math.cos(angle)
            z = spawn.position[2] + reach * math.sin(angle)
            assert walkable(colliders, rules, x, 0.0, z) == (True, 0.0)
