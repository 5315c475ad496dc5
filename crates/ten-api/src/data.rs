//! Data of instances that operators give up and bring back.

use serde::{Deserialize, Serialize};

/// The trailer of a backup that is not whole: why. Sent to who takes trailers (`TE: trailers`,
/// RFC 9110, section 6.5); for all others, such a backup breaks off.
pub const BACKUP_FAILURE: &str = "ten-backup-failure";

/// What becomes of the data with a stop or a removal: the query string of both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepData {
    /// Whether they stay where they are. Else they go to the trash, unless the service says
    /// `storage_persist`.
    #[serde(default)]
    pub keep_data: bool,
}

/// How a stop or a removal ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// False where it was so already.
    pub changed: bool,
    /// Where its data are now; none where there were none, or they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trashed: Option<Trashed>,
}

/// Data in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trashed {
    /// What the entry is called.
    pub entry: String,
    /// Whose they are, `service:id`.
    pub instance: String,
    /// When they were given up, RFC 3339 in UTC.
    pub at: String,
    /// Until when they can be brought back, RFC 3339 in UTC.
    pub until: String,
    /// With which command: `stop`, `rm` or `restore`.
    pub reason: String,
    /// Where they were, below the data folder.
    pub folders: Vec<String>,
}

/// What is in the trash; the oldest of each instance first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashList {
    /// The entries.
    pub trash: Vec<Trashed>,
}

/// Asks for data to be brought back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Those that were given up last before or at this moment, RFC 3339; else the newest.
    #[serde(default)]
    pub at: Option<String>,
    /// Whether data that it has now go to the trash; else they are a reason to refuse.
    #[serde(default)]
    pub replace: bool,
}

/// Whether present data make way for those of a backup: the query string of its upload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// Whether data that it has now go to the trash; else they are a reason to refuse.
    #[serde(default)]
    pub replace: bool,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// What came back.
    pub restored: Trashed,
    /// What it took the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Trashed>,
}
