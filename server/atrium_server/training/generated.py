"""Lines made from patterns, for what no labelled set has: threats, spam, and the rough but harmless
talk of games.

They are weak teachers. What they teach is the pattern and its words, so they count less than lines
that people wrote and labelled, and no figure is ever taken from them. The patterns are drawn with a
seed: the same seed gives the same lines.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final

_SLOT: Final = re.compile(r"\{(\w+)\}")

_WORDS: Final[Mapping[str, Sequence[str]]] = {
    "you": ("you", "u", "ya", "you all", "your whole family", "you and your friends"),
    "will": ("i will", "i'll", "im gonna", "i am going to", "we will", "we're gonna", "imma"),
    "find": ("find you", "find out where you live", "come to your house", "find your address",
             "track you down", "get your ip", "wait for you after school"),
    "hurt": ("kill you", "beat you up", "hurt you", "break your legs", "shoot you", "stab you",
             "end you", "make you bleed", "burn your house down", "murder you", "smash your face"),
    "soon": ("tonight", "tomorrow", "soon", "irl", "in real life", "when you sleep", "i swear",
             "for real", "and nobody will help you", "just wait"),
    "fool": ("idiot", "moron", "loser", "clown", "stupid kid", "dumbass", "imbecile",
             "pathetic loser",
             "waste of space", "brainless fool", "retard", "piece of trash", "disgusting pig"),
    "bad": ("worthless", "pathetic", "disgusting", "stupid", "ugly", "useless", "a joke",
            "a failure", "brain dead", "the worst person here"),
    "gone": ("nobody likes you", "everybody hates you", "go away forever", "uninstall life",
             "do us a favour and leave", "your parents must be ashamed", "shut up already"),
    "body": ("your body", "your boobs", "your ass", "nudes", "your naked pictures",
             "pics of you naked"),
    "lewd": ("send me", "show me", "i want to see", "let me touch", "can i see"),
    "sex": ("have sex with me", "wanna have sex", "i want to do you", "suck it", "get naked for me",
            "cyber sex anyone", "i am so horny", "come to my room and strip"),
    "shop": ("gold", "coins", "gems", "skins", "followers", "robux", "accounts", "boosting", "keys",
             "nitro", "gift cards"),
    "cheap": ("cheap", "free", "50% off", "best price", "instant delivery", "limited offer",
              "100% safe", "no scam"),
    "site": ("www.best-gold.shop", "http://free-gems.win", "bit.ly/x7fk2", "cheapskins.store",
             "t.me/fastcash", "earn-now.biz", "discord.gg/freestuff"),
    "visit": ("visit", "go to", "check out", "click", "buy at", "order on", "dm me or see"),
    "money": ("earn $500 a day from home", "double your bitcoin today", "make money fast",
              "you have won a prize", "claim your free reward now",
              "congratulations you are selected",
              "invest 100 get 1000", "work from home easy cash"),
    "foe": ("boss", "dragon", "zombie", "tank", "healer", "enemy", "skeleton king", "wolf", "troll",
            "mob", "adds", "turret", "final boss", "bot", "npc"),
    "slay": ("kill", "shoot", "burn", "destroy", "nuke", "wipe out", "execute", "bomb", "stab",
             "murder", "blow up", "smash"),
    "again": ("again", "first", "together", "next round", "with fire", "from behind", "quickly",
              "in the arena", "on the bridge", "before it heals"),
    "loot": ("trash loot", "sick loot", "junk drops", "garbage rolls", "a killer sword",
             "a shitload of xp", "dope armor", "crap weapons", "insane drops"),
    "self": ("i", "we", "my team", "our squad"),
    "died": ("died", "got wrecked", "got destroyed", "are dead lol", "got pwned", "keep dying",
             "suck at this map", "choked hard", "got owned"),
    "praise": ("that was sick", "you are killing it", "insane shot", "you destroyed them",
               "beast mode", "you murdered that song", "drop dead gorgeous view", "savage play",
               "you're a monster at this game", "that boss fight was brutal", "nasty combo"),
    "chat": ("anyone up for another round", "where is the market", "gg everyone", "brb dinner",
             "how do i sit down", "love this place", "can you hear me", "what level are you",
             "meet me at the fountain", "nice avatar", "the music is great", "is there a map",
             "my controller battery died", "lag is killing me", "i'm dying of laughter",
             "this bug is driving me crazy", "i would kill for a pizza", "shoot me a message",
             "i feel like crap today", "damn that's beautiful", "holy cow", "what the heck",
             "my cat is a little devil", "the sunset is gorgeous", "black screen when i load in",
             "the white team needs a player", "who is the girl in the red dress",
             "is he your brother",
             "the gay pride parade is at noon", "i am a muslim and fasting today",
             "jewish holiday soon",
             "my friend is trans and made this world", "she teaches in an asian cooking class",
             "do you speak arabic", "i'm an old lady from texas", "the fat cat sat down"),
    "oath": ("fuck", "shit", "damn", "holy shit", "fucking hell", "oh fuck", "goddamn", "wtf",
             "bloody hell", "crap", "no shit", "well shit", "fuck yeah", "shit shit shit",
             "what a clusterfuck", "motherfucker"),
    "vexed": ("i fell again", "the door is locked", "my headset died", "this lag is bullshit",
              "that was close", "i forgot my keys", "the server crashed", "we lost by one point",
              "it's raining again", "this puzzle is hard as hell", "i can't find the damn exit",
              "that hurt", "the update broke everything", "i am so fucking tired",
              "what a view", "that was fucking awesome", "the music is shit today"),
    "other": ("he", "she", "some kid", "a guy in the lobby", "my classmate", "that player",
              "someone", "a stranger", "my ex", "one of the admins"),
    "slur": ("a bitch", "a faggot", "a retard", "an idiot", "a slut", "the n word", "a whore",
             "a dyke", "stupid", "fat", "ugly", "a terrorist", "a nazi", "a cunt"),
    "told": ("called me {slur}", "called my friend {slur}", "keeps calling people {slur}",
             "wrote that i am {slur}", "said i was {slur} and left", "called us {slur} in chat",
             "told me to kill myself", "said he will find me", "insulted my sister"),
    "asked": ("how do i report that", "can a moderator help", "please ban him",
              "that is not okay", "it made me sad", "i blocked them", "why do people do this",
              "what can i do", "i told my parents", "i'm still upset"),
    "proud": ("queer", "gay", "a lesbian", "bi", "trans", "a dyke", "black", "muslim", "jewish",
              "disabled", "autistic", "a refugee", "mexican", "asian", "fat", "a woman", "deaf"),
    "glad": ("and proud", "and i love it", "and happy", "and that's fine", "so what",
             "and so is my best friend", "and this world is great for us", "and i teach history"),
    "people": ("gay", "jewish", "muslim", "black", "trans", "asian", "women's", "refugee",
               "disabled", "queer", "indian", "mexican", "native american", "roma"),
    "event": ("history month", "film festival", "choir sings tonight", "community meets at eight",
              "history walk starts at the arch", "museum has a new exhibition", "pride parade",
              "rights are human rights", "students have a club here", "artists show their work"),
    "news": ("breast cancer screening is free", "sex education should explain consent",
             "the vagina is a muscular tube", "the court sentenced the rapist to ten years",
             "two people were shot in the city", "the terrorist attack killed nine people",
             "the genocide is taught in school", "my doctor examined my penis and it is fine",
             "condoms prevent infections", "the doctor asked about my sex life",
             "the documentary is about prostitution", "a man was charged with murder",
             "the war killed thousands of civilians", "same sex marriage is legal here",
             "racism is a problem in football", "the holocaust memorial opens tomorrow",
             "dick van dyke was in that film", "essex and sussex are counties",
             "we read a book about slavery", "she has depression and takes pills for it",
             "the nude statue is by michelangelo", "moby dick is a novel about a whale"),
    "foreign": ("hallo allemaal, hoe gaat het", "guten morgen zusammen", "wie geht es dir heute",
                "das konzert ist um acht", "ik kom zo terug", "wat een mooie tuin",
                "bonjour tout le monde", "comment ça va aujourd'hui", "à quelle heure commence",
                "hola a todos", "dónde está la sala", "me gusta mucho este mundo",
                "ciao a tutti come state", "che bella giornata", "oi gente tudo bem",
                "que horas começa o show", "cześć wszystkim co słychać", "zaraz wracam",
                "herkese merhaba nasılsınız", "hemen geliyorum", "всем привет как дела",
                "сейчас вернусь", "كيف حالكم اليوم", "नमस्ते सब लोग कैसे हो", "大家好", "你好吗",
                "みなさんこんにちは", "今日はいい天気ですね", "안녕하세요 여러분", "잘 지내요",
                "mon ami habite à paris", "mi hermana juega conmigo", "mijn zus speelt ook mee",
                "meine schwester spielt auch mit", "jak się nazywa ta piosenka"),
}
_PATTERNS: Final[Mapping[str, Sequence[str]]] = {
    "threat": (
        "{will} {hurt}", "{will} {find} and {hurt}", "{will} {hurt} {soon}", "{will} {find} {soon}",
        "watch your back, {will} {hurt}", "i know where you live {fool}", "{soon} {will} {hurt}",
        "you are dead {soon} {fool} {will} {find}", "if you say that again {will} {hurt}",
    ),
    "insult": (
        "you are {bad}", "you {fool}", "{gone} {fool}", "what a {fool} you are",
        "you're {bad} {fool}",
        "shut up {fool}", "{gone}", "are you {bad} or what", "look at this {fool}, {gone}",
        "you play like a {fool}", "only a {fool} would say that",
    ),
    "sexual": ("{lewd} {body}", "{sex}", "{lewd} {body} {soon}", "hey girl {sex}", "{sex} {you}"),
    "spam": (
        "{cheap} {shop} {visit} {site}", "{money} {visit} {site}", "{shop} {cheap} {cheap} {site}",
        "{money}!!! {site}", "BUY {shop} {cheap} >>> {site}", "{visit} {site} for {cheap} {shop}",
        "{money} {money} {site}",
    ),
    "benign": (
        "{slay} the {foe}", "{slay} the {foe} {again}", "let's {slay} that {foe} {again}",
        "{self} {died}", "{self} {died} {again}", "that {foe} dropped {loot}", "{praise}", "{chat}",
        "{chat} {again}", "how do i {slay} the {foe}", "the {foe} will {slay} us {again}",
        "{praise}, {chat}", "you have to {slay} the {foe}", "i {slay} {foe}s for {loot}",
        "{chat}, {chat}", "{oath}, {vexed}", "{oath} {vexed}", "{vexed}, {oath}", "{oath}, {chat}",
        "{oath} {self} {died}", "{other} {told}", "{other} {told}, {asked}",
        "{asked}, {other} {told}", "i am {proud} {glad}", "i'm {proud} {glad}", "{news}",
        "as {proud} person i love this",
        "{people} {event}", "the {people} {event}", "{news}, {asked}", "{foreign}", "{foreign}",
        "{foreign}, {foreign}", "my friend is {proud} {glad}",
    ),
}
KINDS: Final = tuple(_PATTERNS)


def lines(kind: str, count: int, seed: int) -> list[str]:
    """Different lines of one of KINDS; fewer than `count` if there are not so many."""
    chance = random.Random(f"{seed}:{kind}")
    made: dict[str, None] = {}
    for _ in range(20 * count):
        if len(made) == count:
            break
        made[_dressed(_filled(chance.choice(_PATTERNS[kind]), chance), chance)] = None
    return list(made)


def _filled(pattern: str, chance: random.Random) -> str:
    """The words of a slot may have slots themselves."""
    while _SLOT.search(pattern):
        pattern = _SLOT.sub(lambda slot: chance.choice(_WORDS[slot[1]]), pattern)
    return pattern


def _dressed(text: str, chance: random.Random) -> str:
    """As people type: a capital, signs at the end, a letter drawn out."""
    if chance.random() < 0.25:
        text = text.capitalize()
    if chance.random() < 0.1:
        text = text.upper()
    if chance.random() < 0.15 and len(text) > 3:
        place = chance.randrange(len(text))
        text = text[:place] + text[place] * chance.randrange(1, 4) + text[place:]
    return text + chance.choice(["", "", "", "!", "!!", ".", " lol", " :)", "?", " haha"])
