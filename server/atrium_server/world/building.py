"""What people build in a world: their edits from the request to the last answer. PURE.

Theory of operation
-------------------
An edit is planned by the rules (`editing`), made, told to all (`telling`), and handed to the host
to be saved, all in one tick; the author hears ACCEPTED. When the store has it, the host tells the
author (DURABLE) at once, and the world with `EditsSaved`; when the store never will have it, the
world tells the author (REVERTED). Whether there is room for one more unsaved edit is said by the
host, too (`Store`), so that the same inputs always come to the same end. By its session and request
id an edit is done once (`ledger`), however often it is asked for.

*Signs.* What somebody writes on a sign is pending: kept, and shown to nobody, until the judge has
let it pass. The publication is an edit of the world itself, and does not keep the author from
undoing: what the author wrote is then taken for what was published. What was published before a
world was loaded is judged once more (`rechecks`).

*Changes of the house* (`Amend`, for roll-backs and restores; `Reread`, when something could not be
saved) keep to the same path, so they are saved, told and undone like any other.
"""

from __future__ import annotations

import hashlib

import msgspec

from atrium_server.world import commands as c
from atrium_server.world.budget import Budget
from atrium_server.world.builders import (
    SENTENCES,
    Busy,
    Nothing,
    Person,
    author_of,
    cost_bytes,
    is_of_sign,
    with_pending,
    with_verdict,
    word_of,
)
from atrium_server.world.editing import Editor, Plan
from atrium_server.world.ledger import Ledger
from atrium_server.world.props import Change, Prop, Props
from atrium_server.world.rechecks import Rechecks
from atrium_server.world.telling import Telling
from atrium_shared import limits
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.messages import (
    EditState,
    EditStatus,
    Message,
    SaveState,
    Saving,
    SignState,
    SignStatus,
)
from atrium_shared.props import Spawn

_ROOM = 1 << 40
_encoder = msgspec.msgpack.Encoder()


class Building:
    """The props of one world, and all that is done to them."""

    def __init__(self, tick_rate_hz: int, run: bytes = bytes(16)) -> None:
        self.props = Props()
        self.editor = Editor(self.props)
        self.people: dict[int, Person] = {}
        self.telling = Telling(self.props, tick_rate_hz, self.people)
        self.store = c.Store(SaveState.RW, _ROOM, _ROOM, _ROOM)
        """Without a host that says otherwise there is room for everything."""
        self.run = run
        """Stands for a session in the edits of the house itself, and is another in each run."""
        self.amendments = 0
        """Edits of the house so far: their request ids."""
        self.chain = bytes(16)
        """A hash over all changes so far."""
        self.spawns: dict[bytes, None] = {}
        """Props where people arrive."""
        self.busy: Busy = Nothing()
        """What is in hands and in the air."""
        self.unasked = False
        """Some verdicts could not be taken, and are asked for again."""
        self.rechecks = Rechecks()
        self.judging: dict[bytes, str] = {}
        """Signs with a pending text, and who wrote it."""

    # --- loading, coming and going -------------------------------------------------------

    def load(self, props: dict[bytes, Prop], run: bytes) -> int:
        """Begin with these; returns how many had lost their group, and lie in the world now."""
        lost = self.props.load(props, 0)
        self.run = run
        self.rechecks.load(props)
        for prop_id, prop in self.props:
            if isinstance(prop.properties, Spawn):
                self.spawns[prop_id] = None
            elif prop.pending:
                self.judging[prop_id] = prop.owner
        return len(lost)

    def enter(self, join: c.Join) -> None:
        """A session is in the world."""
        author = author_of(join.author or "nobody", join.rights if join.author else 0)
        known = join.back.requests if join.back is not None else ()
        self.people[join.session_id] = Person(
            join.session_id, join.uuid, author, Ledger(known, join.floor),
            Budget(limits.EDIT_PROPS_PER_S_MAX, self.telling.all.tick_rate_hz),
        )

    def asked_to(self, session_id: int) -> int:
        """The highest request for an edit that a session has made here; -1 for none."""
        person = self.people.get(session_id)
        return -1 if person is None else person.ledger.highest

    def awaits(self, session_id: int, request_id: int) -> bool:
        """Whether a session has been told that this edit is accepted, and no more."""
        person = self.people.get(session_id)
        status = person.ledger.get(request_id) if person is not None else None
        return status is not None and status.state is EditState.ACCEPTED

    def entitle(self, session_id: int, rights: int) -> None:
        """What a session may do has changed."""
        person = self.people[session_id]
        person.author = author_of(person.author.account, rights)

    def leave(self, session_id: int) -> None:
        """A session is over."""
        person = self.people.pop(session_id, None)
        if person is not None and person.author.account.startswith("guest:"):
            self.editor.pasts.forget(person.author.account)

    def news_for(self, session_id: int) -> list[Message]:
        """What a newcomer is to know besides the scene."""
        news: list[Message] = []
        if self.store.state is not SaveState.RW:
            news.append(self._saving())
        author = self.people[session_id].author.account
        for prop_id, writer in self.judging.items():
            prop = self.props.get(prop_id)
            if prop is not None and author in (writer, prop.owner):
                news.append(SignStatus(prop_id, SignState.PENDING, prop.pending, ""))
        return news

    def ask_judge(self, out: c.TickOutput) -> None:
        """Signs that were pending when the world was loaded are judged now."""
        for prop_id in self.judging:
            prop = self.props.get(prop_id)
            if prop is not None:
                out.signs.append(c.SignRequest(prop_id, prop.pending))

    # --- edits ---------------------------------------------------------------------------

    def build(self, command: c.Build, out: c.TickOutput) -> None:
        """Make an edit or refuse it; its author is told either way."""
        person = self.people[command.session_id]
        if self.is_answered(person, command.request_id, out):
            return
        try:
            self.needs_store(person)
            plan = self._judged(self.editor.plan(person.author, command.edit))
            self._needs_free(person, plan, out)
            self.take(person, command.request_id, word_of(command.edit), plan, out)
        except RequestRefused as refused:
            self.refuse(person, command.request_id, refused, out)

    def _needs_free(self, person: Person, plan: Plan, out: c.TickOutput) -> None:
        for change in plan.changes:
            if change.prop_id in self.busy:
                if not person.author.may_moderate:
                    raise RequestRefused(ErrorCode.TAKEN, "Somebody has it in the hand.")
                self.busy.give_up(change.prop_id, out)
        new = [change.after for change in plan.changes if change.before is None]
        more = sum(prop is not None and isinstance(prop.properties, Spawn) for prop in new)
        if more and len(self.spawns) + more > limits.SPAWNS_MAX:
            raise RequestRefused(
                ErrorCode.WORLD_FULL, f"A world has at most {limits.SPAWNS_MAX} built spawn points."
            )

    def is_answered(self, person: Person, request_id: int, out: c.TickOutput) -> bool:
        """Whether this was asked before; it is then answered as before."""
        status = person.ledger.get(request_id)
        if status is None and person.ledger.has_forgotten(request_id):
            status = EditStatus(
                request_id, EditState.REFUSED, ErrorCode.CONFLICT,
                "It was asked too long ago to know whether it was done.", 0,
            )
        if status is not None:
            out.tells.append(c.Tell((person.session_id,), status))
        return status is not None

    def needs_store(self, person: Person) -> None:
        """Raises RequestRefused when nothing can be saved now."""
        if self.store.state in (SaveState.READ_ONLY, SaveState.FENCED):
            raise RequestRefused(
                ErrorCode.NOT_SAVED, SENTENCES[self.store.state], retry_ms=1_000
            )
        if person.ledger.unanswered >= limits.EDITS_UNANSWERED_MAX:
            raise RequestRefused(
                ErrorCode.RATE_LIMITED, "Too many of your edits wait to be saved.", 1_000
            )
        if not person.changed.has_room(self.telling.tick):
            raise RequestRefused(
                ErrorCode.RATE_LIMITED, "You change very many things: wait a moment.", 1_000
            )

    def take(
        self, person: Person, request_id: int, op: str, plan: Plan, out: c.TickOutput
    ) -> None:
        """Make what was planned. Raises RequestRefused when there is no room to save it."""
        self._needs_room(plan.changes)
        person.changed.take(self.telling.tick, len(plan.changes))
        self.editor.take(person.author, plan)
        self._made(c.Accepted(
            person.uuid, request_id, op, person.author.account, tuple(plan.changes)
        ), out)
        left = f"{plan.left_alone} of it were left as others made them." if plan.left_alone else ""
        self.tell(person, EditStatus(request_id, EditState.ACCEPTED, 0, left, 0), out)
        if not plan.changes:  # nothing to save: it is as it was wanted
            self.tell(person, EditStatus(request_id, EditState.DURABLE, 0, "", 0), out)

    def come_to_rest(self, edit: c.Accepted, out: c.TickOutput) -> None:
        """A throw has ended: make its change. Raises RequestRefused as `take` does."""
        self._needs_room(list(edit.changes))
        self.props.apply(list(edit.changes))
        self.editor.pasts.remember(edit.author, "do", edit.changes)
        self._made(edit, out)

    def refuse(
        self, person: Person, request_id: int, refused: RequestRefused, out: c.TickOutput
    ) -> None:
        """Tell the author why not. What may be asked again later is not remembered."""
        status = EditStatus(
            request_id, EditState.REFUSED, refused.code, refused.sentence, refused.retry_ms
        )
        if refused.retry_ms:
            out.tells.append(c.Tell((person.session_id,), status))
        else:
            self.tell(person, status, out)

    def tell(self, person: Person, status: EditStatus, out: c.TickOutput) -> None:
        """An outcome, remembered and told."""
        person.ledger.put(status)
        out.tells.append(c.Tell((person.session_id,), status))

    def _needs_room(self, changes: list[Change]) -> None:
        """Take the room that these need until they are saved."""
        if not changes:
            return
        if self.store.state in (SaveState.READ_ONLY, SaveState.FENCED):
            raise RequestRefused(ErrorCode.NOT_SAVED, SENTENCES[self.store.state], 1_000)
        store, cost = self.store, sum(map(cost_bytes, changes))
        left = c.Store(
            store.state, store.edits - 1, store.rows - len(changes), store.bytes - cost
        )
        if min(left.edits, left.rows, left.bytes) < 0:
            raise RequestRefused(
                ErrorCode.NOT_SAVED, "Too much waits to be saved: try again in a moment.", 1_000
            )
        self.store = left

    def _made(self, edit: c.Accepted, out: c.TickOutput) -> None:
        """These changes have been made: they are to be saved, told, and judged."""
        if not edit.changes:
            return
        self.chain = hashlib.blake2b(
            self.chain + _encoder.encode((edit.op, edit.author, edit.changes)), digest_size=16
        ).digest()
        out.edits.append(edit)
        self.telling.note(edit.changes)
        for change in edit.changes:
            self._noticed(change, edit.author, out)

    def _noticed(self, change: Change, author: str, out: c.TickOutput) -> None:
        self._index(change)
        prop = change.after
        if prop is not None and prop.pending and (
            change.before is None or change.before.pending != prop.pending
        ):
            self.judging[change.prop_id] = author
            out.signs.append(c.SignRequest(change.prop_id, prop.pending))
            status = SignStatus(change.prop_id, SignState.PENDING, prop.pending, "")
            out.tells.append(c.Tell(self._sessions_of({author}), status))

    def _index(self, change: Change) -> None:
        """Keep the lists of certain props true."""
        prop = change.after
        self.spawns.pop(change.prop_id, None)
        if prop is not None and isinstance(prop.properties, Spawn):
            self.spawns[change.prop_id] = None
        if prop is None or not prop.pending:
            self.judging.pop(change.prop_id, None)

    # --- signs ---------------------------------------------------------------------------

    def _judged(self, plan: Plan) -> Plan:
        """The plan, with new texts of signs only pending. What comes back was judged once."""
        if plan.kind != "do" or not any(map(is_of_sign, plan.changes)):
            return plan
        return Plan([with_pending(change) for change in plan.changes], plan.kind, plan.left_alone)

    def judged(self, command: c.SignJudged, out: c.TickOutput) -> None:
        """Publish the text of a sign, or drop it."""
        prop = self.props.get(command.prop_id)
        verdict = with_verdict(prop, command)
        if prop is None or verdict is None:
            return  # it says something else by now, or goes on as it is
        after, published, reason = verdict
        concerned = {self.judging.get(command.prop_id, ""), prop.owner}
        change = Change(command.prop_id, prop, after)
        try:
            self._needs_room([change])
        except RequestRefused:
            self.unasked = True  # it stays pending, and is judged again when it can be saved
            return
        readers = self._sessions_of(concerned)
        self.props.apply([change])
        self.editor.pasts.replaced(change, sorted(concerned))
        self._amend("publish", "", [change], out)
        state = SignState.PUBLISHED if published else SignState.REJECTED
        text = command.text if published else command.asked
        out.tells.append(c.Tell(readers, SignStatus(command.prop_id, state, text, reason)))

    def _sessions_of(self, accounts: set[str]) -> tuple[int, ...]:
        return tuple(
            person.session_id for person in self.people.values()
            if person.author.account in accounts
        )

    # --- what the host says --------------------------------------------------------------

    def stored(self, command: c.Store, out: c.TickOutput) -> None:
        """How it stands with the saving."""
        changed = command.state is not self.store.state
        self.store = command
        if self.unasked and command.state in (SaveState.RW, SaveState.DEGRADED):
            self.unasked = False
            self.ask_judge(out)
        if changed:
            out.tells.append(c.Tell(None, self._saving()))

    def _saving(self) -> Saving:
        return Saving(self.store.state, SENTENCES[self.store.state])

    def saved(self, command: c.EditsSaved, out: c.TickOutput) -> None:
        """Remember what became of edits, and tell authors of those that were taken back. That one
        is durable the host has told already.
        """
        by_uuid = {person.uuid: person for person in self.people.values()}
        for answer in command.answers:
            person = by_uuid.get(answer.uuid)
            if person is None or person.ledger.get(answer.request_id) is None:
                continue
            if answer.is_durable:
                person.ledger.put(EditStatus(answer.request_id, EditState.DURABLE, 0, "", 0))
            else:
                self.tell(person, EditStatus(
                    answer.request_id, EditState.REVERTED, ErrorCode.NOT_SAVED, answer.sentence, 0
                ), out)

    def reread(self, command: c.Reread, out: c.TickOutput) -> None:
        """Bring back what the store has, where something could not be saved."""
        for prop_id, _ in command.props:
            self.busy.give_up(prop_id, out)
        changes = self.props.as_forest(dict(command.props))
        self.props.apply(changes)
        self.telling.note(tuple(changes))
        for change in changes:
            self._index(change)
            prop = change.after
            if prop is not None and prop.pending:
                self.judging[change.prop_id] = prop.owner
                out.signs.append(c.SignRequest(change.prop_id, prop.pending))

    def amend(self, command: c.Amend, out: c.TickOutput) -> None:
        """Make changes of the house, where the props still are as they say."""
        for change in command.changes:
            self.busy.give_up(change.prop_id, out)
        changes = self.editor.standing(list(command.changes))
        try:
            self._needs_room(changes)
        except RequestRefused:
            changes = []
        self.props.apply(changes)
        self._amend(command.op, command.author, changes, out)
        left_alone = len(command.changes) - len(changes)
        out.amended.append(c.Amended(command.number, len(changes), left_alone))

    def _amend(self, op: str, author: str, changes: list[Change], out: c.TickOutput) -> None:
        self.amendments += 1
        self._made(c.Accepted(self.run, self.amendments, op, author, tuple(changes)), out)
