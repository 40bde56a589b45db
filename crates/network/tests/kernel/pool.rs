//! Sandboxes prepared ahead.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Instant;

use crate::support::{
    Engine, Server, address, ask_from, eventually, inside, on_machine, request, run, veths,
};

fn engine(limit: usize) -> Engine {
    Engine::with(|config| config.sandbox_pool = limit)
}

fn is_filled(engine: &Engine) -> bool {
    let status = engine.networks.pool_status();
    status.ready == status.target && status.target > 0
}

#[test]
fn prepared_sandbox_is_like_any_other() {
    on_machine(|| {
        let engine = engine(4);
        eventually("the pool is filled", || is_filled(&engine));
        let prepared = veths();
        let (one, two) = (engine.container("one"), engine.container("two"));
        assert!(prepared.contains(one.endpoint.host_interface.as_ref().unwrap()));
        assert_eq!(address(&one).to_string(), "172.17.0.2");
        let (link, routes) =
            inside(one.netns.as_fd(), || (run("ip", &["link", "show", "eth0"]), run("ip", &["route"])));
        assert!(link.contains("02:42:ac:11:00:02"), "{link}");
        assert!(routes.contains("default via 172.17.0.1 dev eth0"), "{routes}");
        let server = Server::in_sandbox(&two, 80);
        let target = SocketAddr::new(address(&two), server.address.port());
        assert_eq!(ask_from(one.netns.as_fd(), target), Some(address(&one)));
    });
}

#[test]
fn bare_namespaces_are_prepared_once_they_are_wanted() {
    on_machine(|| {
        let engine = engine(4);
        let connect = |name| {
            let mut wanted = request(name);
            "none".clone_into(&mut wanted.network);
            engine.networks.connect(wanted).unwrap()
        };
        assert_eq!(engine.networks.bare_pool_status().target, 0);
        let made = connect("one");
        eventually("one is prepared", || engine.networks.bare_pool_status().ready == 1);
        let prepared = connect("two");
        assert_eq!(engine.networks.bare_pool_status().target, 1, "the second was ready");
        for sandbox in [made, prepared] {
            let links = inside(sandbox.netns.as_fd(), || run("ip", &["-oneline", "link"]));
            assert!(links.lines().count() == 1 && links.contains("<LOOPBACK,UP"), "{links}");
        }
    });
}

#[test]
fn pool_grows_with_the_load_up_to_its_limit() {
    on_machine(|| {
        let engine = engine(4);
        let sandboxes: Vec<_> = (0..40).map(|number| engine.container(&number.to_string())).collect();
        let status = engine.networks.pool_status();
        assert!((3..=4).contains(&status.target) && status.limit == 4, "{status:?}");
        drop(sandboxes);
        eventually("only what is ready is left", || {
            is_filled(&engine) && veths().len() == 4.min(status.target)
        });
    });
}

#[test]
fn ended_engine_leaves_no_prepared_sandbox() {
    on_machine(|| {
        let engine = engine(4);
        eventually("the pool is filled", || is_filled(&engine));
        assert!(!veths().is_empty());
        drop(engine);
        eventually("all are gone", || veths().is_empty());
    });
}

#[test]
fn wanted_hardware_address_is_given() {
    on_machine(|| {
        let engine = engine(2);
        eventually("the pool is filled", || is_filled(&engine));
        let mut wanted = request("one");
        wanted.mac = Some("02:00:00:00:00:42".parse().unwrap());
        let sandbox = engine.networks.connect(wanted).unwrap();
        let link = inside(sandbox.netns.as_fd(), || run("ip", &["link", "show", "eth0"]));
        assert!(link.contains("02:00:00:00:00:42"), "{link}");
    });
}

/// Prints what a connection costs from the pool; run with `--nocapture` to see it.
#[test]
fn connect_cost_from_the_pool_is_measured() {
    on_machine(|| {
        let engine = engine(16);
        let mut times: Vec<_> = (0..200)
            .map(|number| {
                eventually("the pool is filled", || engine.networks.pool_status().ready > 0);
                let start = Instant::now();
                let sandbox = engine.container(&number.to_string());
                let time = start.elapsed();
                engine.networks.release(&sandbox.endpoint);
                time
            })
            .collect();
        times.sort();
        println!("connect: median {:?}, 95 % {:?}, maximum {:?}", times[100], times[190], times[199]);
        assert!(times[100].as_millis() < 20, "median {:?}", times[100]);
    });
}
