//! The API's paths, and what each of them does.

mod attach;
mod auth;
mod blocking;
mod build;
mod check;
mod chunks;
mod commit;
mod container_shape;
mod containers;
mod create_shape;
mod disk;
mod distribution;
mod exec;
mod export;
mod image_shape;
mod images;
mod info_shape;
mod lifecycle;
mod load;
mod logs;
mod manifest_shape;
mod networks;
mod prune;
mod pull;
mod push;
mod route;
mod save;
mod search;
mod system;
mod transfer;
mod volumes;

use std::borrow::Cow;
use std::sync::Arc;

use engine::Engine;

use crate::error::Error;
use crate::http::{Call, Handler, Response};

pub use pull::Registries;
use route::{Route, resolve};

/// The Engine API on an engine.
pub struct Api {
    engine: Engine,
    registries: Arc<Registries>,
    builder: ::build::Builder,
    builds: build::Running,
    about: system::About,
}

impl Api {
    /// The API of `engine`, which pulls from `registries` and builds with `builder`.
    pub fn new(engine: Engine, registries: Registries, builder: ::build::Builder) -> Self {
        let (registries, about) = (Arc::new(registries), system::About::of_host());
        Self { engine, registries, builder, builds: build::Running::default(), about }
    }
}

impl Handler for Api {
    async fn handle(&self, call: Call) -> Result<Response, Error> {
        let segments = call.segments();
        let segments: Vec<&str> = segments.iter().map(Cow::as_ref).collect();
        let route = resolve(call.method(), &segments)?;
        self.dispatch(route, call).await
    }
}

impl Api {
    async fn dispatch(&self, route: Route, call: Call) -> Result<Response, Error> {
        match route {
            Route::Ping => Ok(system::ping()),
            Route::Version => Ok(self.version()),
            Route::Info => self.info(&call).await,
            Route::Login => self.login(call).await,
            Route::Check => Ok(self.check_system(&call)),
            Route::Events => self.events(&call),
            Route::ListContainers => self.list_containers(&call).await,
            Route::CreateContainer => self.create_container(call).await,
            Route::InspectContainer(id) => self.inspect_container(&id, &call).await,
            Route::Top(id) => self.top(&id, &call).await,
            Route::Logs(id) => self.logs(&id, &call),
            Route::DiskUsage => self.disk_usage(&call).await,
            Route::Commit => self.commit(call).await,
            Route::Changes(id) => self.changes(&id).await,
            Route::Export(id) => self.export(&id).await,
            Route::Start(id) => self.start(&id).await,
            Route::Stop(id) => self.stop(&id, &call).await,
            Route::Restart(id) => self.restart(&id, &call).await,
            Route::Kill(id) => self.kill(&id, &call).await,
            Route::Pause(id) => self.pause(&id).await,
            Route::Unpause(id) => self.unpause(&id).await,
            Route::Rename(id) => self.rename(&id, &call).await,
            Route::Resize(id) => self.resize(&id, &call).await,
            Route::Wait(id) => self.wait(&id, &call).await,
            Route::Remove(id) => self.remove(&id, &call).await,
            Route::Attach(id) => self.attach(&id, call).await,
            Route::AttachWebsocket(id) => self.attach_websocket(&id, call).await,
            Route::CreateExec(id) => self.create_exec(&id, call).await,
            Route::StartExec(id) => self.start_exec(&id, call).await,
            Route::ResizeExec(id) => self.resize_exec(&id, &call).await,
            Route::InspectExec(id) => self.inspect_exec(&id).await,
            Route::Distribution(name) => self.distribution(&name, &call).await,
            Route::ListImages => self.list_images(&call).await,
            Route::SearchImages => self.search_images(&call).await,
            Route::InspectImage(name) => self.inspect_image(name, &call).await,
            Route::ImageHistory(name) => self.image_history(name, &call).await,
            Route::TagImage(name) => self.tag_image(name, &call).await,
            Route::RemoveImage(name) => self.remove_image(name, &call).await,
            Route::Build => self.build(call).await,
            Route::PruneBuilds => self.prune_builds(&call).await,
            Route::CancelBuild => self.cancel_build(&call),
            Route::LoadImages => self.load_images(call).await,
            Route::SaveImages => self.save_images(None, &call).await,
            Route::ImageTree(name) => self.image_tree(name).await,
            Route::SaveImage(name) => self.save_images(Some(name), &call).await,
            Route::PushImage(name) => self.push_image(&name, &call),
            Route::PruneContainers => self.prune_containers(&call).await,
            Route::PruneImages => self.prune_images(&call).await,
            Route::PullImage => self.pull_image(call).await,
            Route::ListNetworks => self.list_networks(&call),
            Route::CreateNetwork => self.create_network(call).await,
            Route::RemoveNetwork(id) => self.remove_network(id).await,
            Route::PruneNetworks => self.prune_networks(&call).await,
            Route::ConnectNetwork(id) => self.connect_network(id, call).await,
            Route::DisconnectNetwork(id) => self.disconnect_network(id, call).await,
            Route::PlanNetwork(id) => self.plan_network(id, call).await,
            Route::InspectNetwork(id) => self.inspect_network(&id),
            Route::ListVolumes => self.list_volumes(&call),
            Route::InspectVolume(name) => Err(engine::Error::VolumeNotFound { name }.into()),
        }
    }
}
