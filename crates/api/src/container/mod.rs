//! Containers: what creates them and what is said about them.

mod config;
mod create;
mod host_config;
mod inspect;
mod mount;
mod options;
mod port;
mod process;
mod state;
mod summary;

pub use config::{Config, Healthcheck, StrSlice};
pub use create::{CreateRequest, CreateResponse};
pub use host_config::{
    DeviceMapping, DeviceRequest, HostConfig, LogConfig, RestartPolicy, ThrottleDevice, Ulimit, WeightDevice,
};
pub use inspect::{ContainerInspect, GraphDriver};
pub use mount::{
    BindOptions, ClusterOptions, DriverConfig, ImageOptions, Mount, MountPoint, TmpfsOptions, VolumeOptions,
};
pub use options::{
    AttachOptions, CommitOptions, CreateOptions, ListOptions, LogsOptions, RemoveOptions, ResizeOptions,
    StopOptions, WaitCondition,
};
pub use port::{Port, PortBinding, PortMap};
pub use process::{Change, ChangeKind, PruneResponse, TopResponse, WaitError, WaitResponse};
pub use state::{ContainerState, Health, HealthcheckResult};
pub use summary::{ContainerSummary, SummaryHostConfig, SummaryNetworkSettings};
