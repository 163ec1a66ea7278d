"""Personal data is found as people write and hide it; versions and scores are let be."""

from __future__ import annotations

import re
import time
import unicodedata

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.moderation import pii, pii_numbers, pii_plain
from atrium_server.moderation.findings import Category
from atrium_server.moderation.pii_vocabulary import INNER, PARTS, WORDS, Sign
from atrium_server.moderation.policy import POLICIES, PolicyName, decide

STANDARD = POLICIES[PolicyName.STANDARD]
MADE_UP_CARDS = ("4111111111111111", "5500005555555559", "378282246310005", "6011000990139424")


def found(text: str, regions: tuple[str, ...] = pii.REGIONS) -> list[tuple[str, str]]:
    """Kind and stretch of all that is found in a line."""
    (findings,) = pii.find([text], regions)
    return [(each.source.removeprefix("pii:"), text[each.start : each.end]) for each in findings]


FOUND = [
    ("mail me at a.b+c@example.org now", "email", "a.b+c@example.org"),
    ("почта иван@пример.рф", "email", "иван@пример.рф"),
    ("name＠example．com", "email", "name＠example．com"),
    ("john at gmail dot com", "email", "john at gmail dot com"),
    ("john.doe (at) web (dot) de", "email", "john.doe (at) web (dot) de"),
    ("maria arroba hotmail punto com", "email", "maria arroba hotmail punto com"),
    ("kuba małpa wp kropka pl", "email", "kuba małpa wp kropka pl"),
    ("call 0176 12345678 tonight", "phone", "0176 12345678"),
    ("0 1 7 6 1 2 3 4 5 6 7 8", "phone", "0 1 7 6 1 2 3 4 5 6 7 8"),
    ("0-1-7-6-1-2-3-4-5-6-7-8", "phone", "0-1-7-6-1-2-3-4-5-6-7-8"),
    ("O176 l2345678 ok", "phone", "O176 l2345678"),
    ("٠١٧٦ ١٢٣٤٥٦٧٨", "phone", "٠١٧٦ ١٢٣٤٥٦٧٨"),
    ("ring +４４ ２０ ７９４６ ０９５８", "phone", "+４４ ２０ ７９４６ ０９５８"),
    ("⓪①⑦⑥ ①②③④⑤⑥⑦⑧", "phone", "⓪①⑦⑥ ①②③④⑤⑥⑦⑧"),
    ("+4\ufe0f\u20e39 176 12345678", "phone", "+4\ufe0f\u20e39 176 12345678"),
    ("wave 12345, then 12345 0176 12345678", "phone", "0176 12345678"),
    ("my number is (202) 555-0143", "phone", "(202) 555-0143"),
    ("加我 13912345678", "phone", "13912345678"),
    (
        "zero one seven six one two three four five six seven eight", "phone",
        "zero one seven six one two three four five six seven eight",
    ),
    ("一三九一二三四五六七八", "phone", "一三九一二三四五六七八"),
    ("plus four four two zero seven nine four six zero nine five eight", "phone",
     "plus four four two zero seven nine four six zero nine five eight"),
    ("oh seven nine double one one two three four five six", "phone",
     "oh seven nine double one one two three four five six"),
    ("0🍎1🍎7🍎6🍎1🍎2🍎3🍎4🍎5🍎6🍎7🍎8", "phone", "0🍎1🍎7🍎6🍎1🍎2🍎3🍎4🍎5🍎6🍎7🍎8"),
    ("take 4111 1111 1111 1111 12/27", "card", "4111 1111 1111 1111"),
    ("3782 822463 10005", "card", "3782 822463 10005"),
    ("DE89 3704 0044 0532 0130 00", "iban", "DE89 3704 0044 0532 0130 00"),
    ("to gb82west12345698765432 pls", "iban", "gb82west12345698765432"),
    ("join 93.184.216.34 now", "ipv4", "93.184.216.34"),
    ("his ip is 8.8.8.8", "ipv4", "8.8.8.8"),
    ("2a00:1450:4001:81b::200e", "ipv6", "2a00:1450:4001:81b::200e"),
    ("52.520008, 13.404954", "coordinates", "52.520008, 13.404954"),
    ("52°31'12\"N 13°24'18\"E", "coordinates", "52°31'12\"N 13°24'18\"E"),
    ("i'm at 221b Baker Street", "address", "221b Baker Street"),
    ("i live at 12 maple street", "address", "12 maple street"),
    ("hauptstraße 12 in köln", "address", "hauptstraße 12"),
    ("12 bis rue de la Paix", "address", "12 bis rue de la Paix"),
    ("vivo en calle Mayor 5", "address", "calle Mayor 5"),
    ("abito in via Garibaldi 12", "address", "via Garibaldi 12"),
    ("Keizersgracht 174", "address", "Keizersgracht 174"),
    ("moro na rua Augusta, 1500", "address", "rua Augusta, 1500"),
    ("ul. Marszałkowska 10", "address", "ul. Marszałkowska 10"),
    ("ул. Ленина, д. 5", "address", "ул. Ленина, д. 5"),
    ("Atatürk Caddesi No: 12", "address", "Atatürk Caddesi No: 12"),
    ("شارع التحرير رقم 12", "address", "شارع التحرير رقم 12"),
    ("मकान नंबर 12", "address", "मकान नंबर 12"),
    ("我家在建国路88号", "address", "我家在建国路88号"),
    ("渋谷区神南1-2-3", "address", "区神南1-2-3"),
    ("강남구 테헤란로 123", "address", "강남구 테헤란로 123"),
    ("password: hunter22", "secret", "hunter22"),
    ("mein Passwort ist Sommer2024!", "secret", "Sommer2024!"),
    ("пароль: qwerty123", "secret", "qwerty123"),
    ("我的密码是abc12345", "secret", "abc12345"),
    ("la mia password è Estate2024!", "secret", "Estate2024!"),
    ("login: kim pass: Summer2024!", "secret", "Summer2024!"),
    ("AKIAIOSFODNN7EXAMPLE", "secret", "AKIAIOSFODNN7EXAMPLE"),
    ("add me on discord", "handle", "add me on discord"),
    ("i'm crow#1234", "handle", "crow#1234"),
    ("insta: cool.kid_99", "handle", "insta: cool.kid_99"),
    ("my snap is kitty_99", "handle", "snap is kitty_99"),
    ("what's your snap", "handle", "your snap"),
    ("добавь меня в телеграм", "handle", "добавь меня в телеграм"),
    ("加我微信 abc12345", "handle", "加我微信 abc12345"),
    ("카톡 아이디 알려줘", "handle", "카톡 아이디 알려줘"),
    ("join discord.gg/abcdef", "handle", "discord.gg/abcdef"),
]


@pytest.mark.parametrize(("text", "kind", "stretch"), FOUND, ids=[each[0] for each in FOUND])
def test_what_gives_somebody_away_is_found(text: str, kind: str, stretch: str) -> None:
    assert (kind, stretch) in found(text)


HARMLESS = [
    "call 1-800-273-8255 if you feel down", "Nummer gegen Kummer: 0800 1110333",
    "hey how are you", "v1.2.3.4 is out", "update 10.20.30.40 fixes it" "", "1.2.3.4",
    "the router is 192.168.1.1", "look at amazon dot com", "meet me at the dot in the middle",
    "hp 1200/1500 mp 300/400", "2024-05-12 18:30 raid", "12.05.2024 is the date",
    "1 000 000 gold and 250.000.000 exp", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
    "one two three four five six seven eight nine ten", "x 104.25 y 88.45", "12:30:45",
    "std::vector<int>", "the password is wrong", "i forgot my password again", "password?",
    "i was on discord yesterday", "stand in line please", "1 way or the other", "3 places left",
    "kill 5 mobs on road 3", "ich bin 5 min weg", "join via portal 2", "2 places libres",
    "order 66", "420 69 1337", "5000000000", "4111 1111 1111 1112",
    "pi is 3.14159265", "room 12345678", "seed 8675309", "@everyone hi", "a@b", "@ 5 pm",
    "at some point in time",
    "pass lvl20 first", "placing top 8", "link example.com/qQ94N1rD", "your instagram post is nice",
    "ask your xbox", "4.31977192 | report", "GTX 1080 Ti vs RTX 3090",
    "#1 in the world", "look at #2048", "sector 7 gate 12",
]  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_said_in_games_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_most_lines_need_no_check_at_all() -> None:
    lines = ["hello there", "gg wp", "where is everybody?", "ich komme", "好的 谢谢", "привет"]
    assert pii_plain.read(lines).rows_with(pii._ANY) == []


def test_a_finding_holds_nothing_of_what_it_found() -> None:
    (findings,) = pii.find(["mail a.b@example.org"])
    assert "example" not in repr(findings)


def test_contacts_are_a_category_of_their_own() -> None:
    text = "add me on discord crow#1234"
    (findings,) = pii.find([text])
    assert {each.category for each in findings} == {Category.CONTACT}
    assert decide(text, findings, STANDARD).text == text
    strict = decide(text, findings, POLICIES[PolicyName.STRICT])
    assert strict.category is Category.CONTACT


def test_what_is_hidden_between_the_digits_is_masked_too() -> None:
    text = "+4\u200b9 1\u202e76 123\u0336456\ufe0f78\ufe0f"
    (findings,) = pii.find([text])
    assert set(decide(text, findings, STANDARD).text) <= {" ", "•"}


@pytest.mark.parametrize("region", [*pii.REGIONS, "PL", "NL", "TR", "JP", "KR", "EG", "SA", "MX"])
@pytest.mark.parametrize("kind", ["NATIONAL", "INTERNATIONAL", "E164"])
def test_numbers_of_every_region_are_found(region: str, kind: str) -> None:
    mobile = phonenumbers.PhoneNumberType.MOBILE
    example = phonenumbers.example_number_for_type(region, mobile)
    assert example is not None
    form = getattr(phonenumbers.PhoneNumberFormat, kind)
    text = f"so: {phonenumbers.format_number(example, form)}, ok"
    ((_, stretch),) = found(text, (region,))
    digits = "".join(filter(str.isdecimal, stretch))
    assert digits.endswith(str(example.national_number)[-8:])


def test_regions_follow_languages() -> None:
    assert pii.regions_of(["de-AT", "ja"]) == ("DE", "AT", "CH", "JP")
    assert pii.regions_of(["xx"]) == pii.REGIONS


def test_an_unknown_region_is_told() -> None:
    with pytest.raises(ValueError, match="no region"):
        pii.find(["0176 12345678"], ("QQ",))


def test_numbers_one_after_the_other_are_all_found() -> None:
    text = "0176 12345678 0176 23456789 0176 34567890"
    (findings,) = pii.find([text], ("DE",))
    masked = decide(text, findings, STANDARD).text
    assert not any(each.isdecimal() for each in masked)


def luhn_digit(digits: str) -> str:
    return next(each for each in "0123456789" if pii_numbers.luhn_holds(digits + each))


ZEROS = (0x30, 0x660, 0x6F0, 0x966, 0xFF10, 0x1D7CE)
CARDS = st.builds(
    lambda prefix, rest: prefix + rest,
    st.sampled_from(["4", "51", "55", "2221", "2720"]),
    st.text("0123456789", min_size=15, max_size=15),
).map(lambda text: text[:15])


@given(CARDS, st.sampled_from(["", " ", "-", "\u200b", "all"]), st.sampled_from(ZEROS))
def test_every_card_is_found_however_it_is_grouped(body: str, gap: str, zero: int) -> None:
    number = body + luhn_digit(body)
    groups = list(number) if gap == "all" else [number[k : k + 4] for k in range(0, 16, 4)]
    written = (" " if gap == "all" else gap).join(groups)
    text = written.translate({48 + k: zero + k for k in range(10)})
    (findings,) = pii.find([f"my card {text} ok"])
    assert [(each.start, each.end) for each in findings if each.source == "pii:card"] == [
        (8, 8 + len(text))
    ]


@given(CARDS, st.integers(0, 15), st.integers(1, 9))
def test_a_card_with_one_wrong_digit_is_none(body: str, place: int, change: int) -> None:
    number = body + luhn_digit(body)
    wrong = str((int(number[place]) + change) % 10)
    text = number[:place] + wrong + number[place + 1 :]
    assert not any(kind == "card" for kind, _ in found(text))


@given(st.text("0123456789", min_size=18, max_size=18), st.booleans())
def test_ibans_are_found_by_their_check_digits(body: str, is_spaced: bool) -> None:
    check = 98 - int(body + "131400") % 97  # D is 13, E is 14
    for digits, is_right in ((check, True), (check % 97 + 2, False)):
        number = f"DE{digits:02d}{body}"
        text = " ".join(number[k : k + 4] for k in range(0, 22, 4)) if is_spaced else number
        assert (("iban", text) in found(text)) is (is_right or (digits - check) % 97 == 0)


def test_digits_of_every_script_become_plain() -> None:
    digits = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) == "Nd"]
    plain = pii_plain.read(digits)
    assert [plain.text(row) for row in range(len(digits))] == [
        str(unicodedata.digit(each)) for each in digits
    ]


HOSTILE = st.one_of(
    st.text(max_size=300),
    st.text("0123456789 -.+()@#:/OIl", max_size=500),
    st.lists(
        st.sampled_from([
            "add", "me", "on", "discord", "password", ":", "at", "dot", "com", "@", "0176",
            "Street", "12345678", "Calle", "ул.", "路", "1", "#1234", "\u200b", "DE89", "52.5200",
            "::", "2001:",
        ]), max_size=60,
    ).map(" ".join),
)  # fmt: skip


@given(st.lists(HOSTILE, max_size=8))
def test_findings_lie_within_their_line_whatever_it_is(texts: list[str]) -> None:
    together = pii.find(texts)
    assert together == [pii.find([text])[0] for text in texts]
    for text, findings in zip(texts, together, strict=True):
        assert all(0 <= each.start < each.end <= len(text) for each in findings)
        assert [each.start for each in findings] == sorted(each.start for each in findings)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_plain_characters_know_where_they_came_from(text: str) -> None:
    plain = pii_plain.read(["before", text, "after"])
    for k, character in enumerate(plain.text(1)):
        start, end = plain.origin(1, k, k + 1)
        if character == text[start]:
            continue
        assert pii_plain.read([text[start:end]]).text(0) == character


def plain_by_hand(text: str) -> tuple[str, list[int]]:
    """The kernel's twin, a character at a time."""
    plain, origins = "", list[int]()
    for k, each in enumerate(text):
        code = ord(each)
        mapped = int(pii_plain._PLAIN[code]) if code < len(pii_plain._PLAIN) else code
        if mapped == 0xFFFFFFFF or 0xE0000 <= code < 0xE1000:
            continue
        plain += chr(mapped)
        origins.append(k)
    return plain, origins


def signs_by_hand(plain: str) -> Sign:
    """What the kernel must say of a line, but for words that collide with others."""
    signs = Sign(0)
    digits = sum("0" <= each <= "9" for each in plain)
    for sign, holds in (
        (Sign.DIGIT, digits > 0), (Sign.DIGITS, digits >= 7), (Sign.AT, "@" in plain),
        (Sign.HASH, "#" in plain), (Sign.COLONS, plain.count(":") >= 2),
        (Sign.DOTS, plain.count(".") >= 3 and digits >= 4),
    ):  # fmt: skip
        signs |= sign if holds else Sign(0)
    words = re.findall(r"[a-z0-9\u0080-\U0010ffff]+", plain.lower())
    for sign, known in WORDS.items():
        if sign is not Sign.NUMBER_WORDS and set(known) & set(words):
            signs |= sign
    for table in (PARTS, INNER):
        for sign, known in table.items():
            if any(each in plain.lower() for each in known):
                signs |= sign
    return signs


MIXED = st.lists(
    st.sampled_from([
        *"09 .:#@-", "\u200b", "٣", "Ａ", "str", "aße", "password", "INSTA", "微信", "路", "at",
        "dot", "\U000e0061", "ß", "д", "ул", "sk", "ghp_",
    ]), max_size=30,
).map("".join)  # fmt: skip


@given(st.lists(MIXED, max_size=5))
def test_the_kernel_says_what_its_twin_says(texts: list[str]) -> None:
    plain = pii_plain.read(texts)
    for row, text in enumerate(texts):
        by_hand, origins = plain_by_hand(text)
        first, last = plain.starts[row], plain.starts[row + 1]
        assert plain.text(row) == by_hand
        assert plain.origins[first:last].tolist() == origins
        missing = signs_by_hand(by_hand) & ~Sign(int(plain.signs[row]))
        assert not missing, "a word too many may be found, none too few"


def test_surrogates_are_read_as_they_are() -> None:
    assert pii.find(["\ud800 0176 12345678 \udfff"])[0] != ()


@pytest.mark.parametrize("before", [0, 490, 500, 510, 590, 600, 1_000, 4_321])
def test_in_a_long_text_it_is_found_wherever_it_stands(before: int) -> None:
    text = "x " * (before // 2) + "reach me: name@example.org " + "y " * 700
    assert found(text) == [("email", "name@example.org")]


def test_the_library_is_asked_a_few_times_for_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def type_of(digits: str, region: str | None) -> int:
        asked.append(digits)
        return phonenumbers.PhoneNumberType.UNKNOWN

    monkeypatch.setattr(pii_numbers, "_type_of", type_of)
    text = "0176 1234568 " * 38
    (findings,) = pii.find([text])
    assert 0 < len(asked) <= pii_numbers.TRIES_MAX
    assert findings, "what comes after them is taken for what it looks like"


FLOODS = (
    "a@", "a@b.", "@", "4111 ", "4 ", "1", "1.", "DE89", "a at b dot ", "password:", "pw is ",
    "add me on discord ", "discord:", "12 Baker ", "-", "a-", "calle a b c ", "ul. ", "路",
    "市", "加", "2001:", "52.5200,", "52°31'12\"N ", "a#1234", "a_", "sk-", "eyJ", "t.me/", " ",
    "zero ", "+49 ", "0 O ", "(", "[", "\u0301", "\u200b", "0176 1234567 ",
)  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS)
def test_no_line_is_slow(flood: str) -> None:
    """100 000 characters take some tenths of a second; an expression that goes back and forth over
    them would take hours. The bound is far from both."""
    ends = ("", "1", " street 1 at dot discord password 12345678 #@::")
    texts = [(flood * (100_000 // len(flood))) + end for end in ends]
    started = time.process_time()
    pii.find(texts)
    assert time.process_time() - started < 20
