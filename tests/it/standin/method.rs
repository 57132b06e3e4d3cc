//! The calls that the stand-in knows.

/// A method of the server's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Method {
    /// `AgentDispatchService/CreateDispatch`
    CreateDispatch,
    /// `AgentDispatchService/ListDispatch`
    ListDispatch,
    /// `AgentDispatchService/DeleteDispatch`
    DeleteDispatch,
    /// `RoomService/CreateRoom`
    CreateRoom,
    /// `RoomService/DeleteRoom`
    DeleteRoom,
    /// `RoomService/ListRooms`
    ListRooms,
    /// `RoomService/ListParticipants`
    ListParticipants,
    /// `RoomService/GetParticipant`
    GetParticipant,
    /// `RoomService/RemoveParticipant`
    RemoveParticipant,
    /// `RoomService/UpdateRoomMetadata`
    UpdateRoomMetadata,
}

impl Method {
    /// Every method.
    pub(crate) const ALL: [Self; 10] = [
        Self::CreateDispatch,
        Self::ListDispatch,
        Self::DeleteDispatch,
        Self::CreateRoom,
        Self::DeleteRoom,
        Self::ListRooms,
        Self::ListParticipants,
        Self::GetParticipant,
        Self::RemoveParticipant,
        Self::UpdateRoomMetadata,
    ];

    /// Service and method as they stand in the path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::CreateDispatch => "AgentDispatchService/CreateDispatch",
            Self::ListDispatch => "AgentDispatchService/ListDispatch",
            Self::DeleteDispatch => "AgentDispatchService/DeleteDispatch",
            Self::CreateRoom => "RoomService/CreateRoom",
            Self::DeleteRoom => "RoomService/DeleteRoom",
            Self::ListRooms => "RoomService/ListRooms",
            Self::ListParticipants => "RoomService/ListParticipants",
            Self::GetParticipant => "RoomService/GetParticipant",
            Self::RemoveParticipant => "RoomService/RemoveParticipant",
            Self::UpdateRoomMetadata => "RoomService/UpdateRoomMetadata",
        }
    }

    /// The method of a path after `/twirp/livekit.`.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.path() == path)
    }
}
