//! The operator's settings: one TOML file over embedded defaults, checked once, all complaints at once.
//!
//! An edge: it reads files and nothing else. Inside, nothing checks a setting again.

mod model;

pub use model::{
    BadPullPolicy, DeviceSetting, DriverSettings, EngineSettings, JobSettings, Limits, PullPolicy,
    PullSettings, ServiceSetting, Settings, VolumeSetting,
};
