"""Atrium's Python SDK: be in a world, move, look, talk, and see others, from a trio program.

`connect` and `Me` are all that most programs need. `ClientSession` is the protocol without I/O,
for those who carry the bytes themselves.
"""

from atrium_client.backoff import ReconnectPolicy as ReconnectPolicy
from atrium_client.body import Vector as Vector
from atrium_client.client import ChatOutcome as ChatOutcome
from atrium_client.client import Me as Me
from atrium_client.client import Options as Options
from atrium_client.client import connect as connect
from atrium_client.errors import ClientError as ClientError
from atrium_client.errors import ConnectionFailed as ConnectionFailed
from atrium_client.errors import ConnectionRefused as ConnectionRefused
from atrium_client.errors import EditLost as EditLost
from atrium_client.errors import EditRefused as EditRefused
from atrium_client.errors import EditReverted as EditReverted
from atrium_client.errors import ReconnectFailed as ReconnectFailed
from atrium_client.errors import RequestLost as RequestLost
from atrium_client.errors import SessionEnded as SessionEnded
from atrium_client.events import ChatLine as ChatLine
from atrium_client.events import ChatRetracted as ChatRetracted
from atrium_client.events import Corrected as Corrected
from atrium_client.events import EditAnswered as EditAnswered
from atrium_client.events import EditUnresolved as EditUnresolved
from atrium_client.events import Emoted as Emoted
from atrium_client.events import Ended as Ended
from atrium_client.events import Entered as Entered
from atrium_client.events import Event as Event
from atrium_client.events import Joined as Joined
from atrium_client.events import Left as Left
from atrium_client.events import LinkLost as LinkLost
from atrium_client.events import LooksChanged as LooksChanged
from atrium_client.events import MarkerShown as MarkerShown
from atrium_client.events import Noticed as Noticed
from atrium_client.events import PropEvent as PropEvent
from atrium_client.events import PropsFlew as PropsFlew
from atrium_client.events import PropsMoved as PropsMoved
from atrium_client.events import PropsUpdated as PropsUpdated
from atrium_client.events import PropTaken as PropTaken
from atrium_client.events import Refused as Refused
from atrium_client.events import RelationsTold as RelationsTold
from atrium_client.events import RequestAnswered as RequestAnswered
from atrium_client.events import RequestExpired as RequestExpired
from atrium_client.events import Resumed as Resumed
from atrium_client.events import SavingChanged as SavingChanged
from atrium_client.events import SignJudged as SignJudged
from atrium_client.events import SnapshotTaken as SnapshotTaken
from atrium_client.events import Travelled as Travelled
from atrium_client.handles import EditHandle as EditHandle
from atrium_client.props import PropsView as PropsView
from atrium_client.rest import Account as Account
from atrium_client.rest import Rest as Rest
from atrium_client.rest import RestRefused as RestRefused
from atrium_client.rest import Ticket as Ticket
from atrium_client.rest import sign_in as sign_in
from atrium_client.rest import sign_in_as_guest as sign_in_as_guest
from atrium_client.rest import sign_up as sign_up
from atrium_client.session import ClientSession as ClientSession
from atrium_client.session import Identity as Identity
from atrium_client.session import State as State
from atrium_client.view import Avatar as Avatar
from atrium_client.view import Transform as Transform
from atrium_shared.errors import AtriumError as AtriumError
from atrium_shared.errors import ErrorCode as ErrorCode
from atrium_shared.errors import ProtocolError as ProtocolError
from atrium_shared.errors import RequestRefused as RequestRefused
from atrium_shared.messages import Capabilities as Capabilities
from atrium_shared.messages import ChatChannel as ChatChannel
from atrium_shared.messages import ChatState as ChatState
from atrium_shared.messages import ClientKind as ClientKind
from atrium_shared.messages import EditState as EditState
from atrium_shared.messages import EntityKind as EntityKind
from atrium_shared.messages import MoveReason as MoveReason
from atrium_shared.messages import Relation as Relation
from atrium_shared.messages import ReportReason as ReportReason
from atrium_shared.messages import Rights as Rights
from atrium_shared.messages import SaveState as SaveState
from atrium_shared.messages import SignState as SignState
from atrium_shared.pose import Flags as Flags
from atrium_shared.props import PropError as PropError
from atrium_shared.props import Transform as PropTransform

__all__ = [
    "Account", "AtriumError", "Avatar", "Capabilities", "ChatChannel", "ChatLine", "ChatOutcome",
    "ChatRetracted", "ChatState", "ClientError", "ClientKind", "ClientSession", "ConnectionFailed",
    "ConnectionRefused", "Corrected", "EditAnswered", "EditHandle", "EditLost", "EditRefused",
    "EditReverted", "EditState", "EditUnresolved", "Emoted", "Ended", "Entered", "EntityKind",
    "ErrorCode", "Event", "Flags", "Identity", "Joined", "Left", "LinkLost", "LooksChanged",
    "MarkerShown", "Me", "MoveReason", "Noticed", "Options", "PropError", "PropEvent", "PropTaken",
    "PropTransform", "PropsFlew", "PropsMoved", "PropsUpdated", "PropsView", "ProtocolError",
    "ReconnectFailed", "ReconnectPolicy", "Refused", "Relation", "RelationsTold", "ReportReason",
    "RequestAnswered",
    "RequestExpired", "RequestLost", "RequestRefused", "Rest", "RestRefused", "Resumed", "Rights",
    "SaveState", "SavingChanged", "SessionEnded", "SignJudged", "SignState", "SnapshotTaken",
    "State", "Ticket", "Transform", "Travelled", "Vector", "connect", "sign_in", "sign_in_as_guest",
    "sign_up",
]
