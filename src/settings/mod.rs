//! The operator's settings: one TOML file over embedded defaults, checked once, all complaints at once.
//!
//! An edge: it reads files and nothing else. Inside, nothing checks a setting again.

mod advice;
mod cache;
mod check;
mod complaint;
mod load;
mod model;
mod mounts;
mod prefetch;
mod raw;
mod values;
mod wire;
mod words;

pub use cache::{Amount, CacheSettings, DaemonSettings, Marks, Rule, Scope};
pub use complaint::{Complaint, Complaints};
pub use load::{Effective, Loaded, Origin, Sources, defaults, load};
pub use model::{
    BadPullPolicy, DeviceSetting, DriverSettings, EngineSettings, JobSettings, Limits, PullPolicy,
    PullSettings, RegistrySettings, ServiceSetting, Settings, StoreSettings, VolumeSetting,
};
pub use prefetch::{Listed, ListedImage, PrefetchSettings, ScanMode};
