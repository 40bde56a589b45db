//! The command line, as runc has it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), "\nspec: 1.2.1", "\nseccomp: built in, without libseccomp");

#[derive(Debug, Parser)]
#[command(name = "corten runtime", about = "OCI runtime", version = VERSION, disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Global {
    /// Write debug messages too
    #[arg(long)]
    pub(super) debug: bool,
    /// File that messages are appended to, instead of standard error
    #[arg(long)]
    pub(super) log: Option<PathBuf>,
    /// Form of messages
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    /// Directory of the states of containers
    #[arg(long, default_value = "/run/corten/runtime")]
    pub(super) root: PathBuf,
    /// Refused: control groups are made in the file system
    #[arg(long)]
    pub(super) systemd_cgroup: bool,
    /// Only `false` and `auto` are supported
    #[arg(long, default_value = "auto", value_parser = ["auto", "false"])]
    pub(super) rootless: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a container
    Create(Create),
    /// Execute the program of a created container
    Start(Container),
    /// Create and start a container
    Run(Run),
    /// Execute a further process in a container
    Exec(Exec),
    /// Print the state of a container
    State(Container),
    /// List containers
    List(List),
    /// List the processes of a container
    Ps(Ps),
    /// Print resource usage
    Events(Events),
    /// Print what this runtime supports
    Features,
    /// Write an example configuration
    Spec(SpecFile),
    /// Send a signal to the first process of a container
    Kill(Kill),
    /// Delete what a container holds
    Delete(Delete),
    /// Freeze all processes of a container
    Pause(Container),
    /// Let frozen processes run again
    Resume(Container),
    /// Change resource limits
    Update(Update),
}

#[derive(Debug, Args)]
pub(super) struct Container {
    /// The container's ID
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Directory of the bundle
    #[arg(short, long, default_value = ".")]
    pub(super) bundle: PathBuf,
    /// Unix socket that the master of the terminal is sent to
    #[arg(long)]
    pub(super) console_socket: Option<PathBuf>,
    /// File that the process ID is written to
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// Refused: the root is always changed by pivot_root
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Keep the session keyring of the caller
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// Number of descriptors from 3 on that the program inherits
    #[arg(long, default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// The container's ID
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Return once the program runs
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Keep the container's state when its program has ended
    #[arg(long)]
    pub(super) keep: bool,
    #[command(flatten)]
    pub(super) create: Create,
}

#[derive(Debug, Args)]
pub(super) struct Exec {
    /// Unix socket that the master of the terminal is sent to
    #[arg(long)]
    pub(super) console_socket: Option<PathBuf>,
    /// Working directory
    #[arg(long)]
    pub(super) cwd: Option<PathBuf>,
    /// Environment variable `NAME=value`
    #[arg(short, long)]
    pub(super) env: Vec<String>,
    /// Allocate a terminal
    #[arg(short, long)]
    pub(super) tty: bool,
    /// User and group by number: `uid[:gid]`
    #[arg(short, long)]
    pub(super) user: Option<String>,
    /// Additional group by number
    #[arg(short = 'g', long)]
    pub(super) additional_gids: Vec<u32>,
    /// File with the process as JSON
    #[arg(short, long)]
    pub(super) process: Option<PathBuf>,
    /// Return once the program runs
    #[arg(short, long)]
    pub(super) detach: bool,
    /// File that the process ID is written to
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// Refused: SELinux labels are not supported
    #[arg(long)]
    pub(super) process_label: Option<String>,
    /// AppArmor profile
    #[arg(long)]
    pub(super) apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long)]
    pub(super) no_new_privs: bool,
    /// Add a capability to the bounding, permitted and effective set
    #[arg(short, long)]
    pub(super) cap: Vec<String>,
    /// Number of descriptors from 3 on that the program inherits
    #[arg(long, default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// Execute in a paused container too
    #[arg(long)]
    pub(super) ignore_paused: bool,
    /// The container's ID
    pub(super) id: String,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Form of the list
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,
    /// Print IDs only
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct Ps {
    /// Form of the list
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,
    /// The container's ID
    pub(super) id: String,
    /// Options of ps, for the table
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) options: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Events {
    /// Seconds between two prints
    #[arg(long, default_value_t = 5)]
    pub(super) interval: u64,
    /// Print once
    #[arg(long)]
    pub(super) stats: bool,
    /// The container's ID
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct SpecFile {
    /// Directory of the bundle
    #[arg(short, long, default_value = ".")]
    pub(super) bundle: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Kill {
    /// Send it to all processes of the container
    #[arg(short, long)]
    pub(super) all: bool,
    /// The container's ID
    pub(super) id: String,
    /// Name or number of the signal
    #[arg(default_value = "SIGTERM")]
    pub(super) signal: String,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Kill a running container first
    #[arg(short, long)]
    pub(super) force: bool,
    /// The container's ID
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// File with resources as JSON, `-` for standard input
    #[arg(short, long)]
    pub(super) resources: Option<PathBuf>,
    /// Weight of block devices, 10 to 1000
    #[arg(long)]
    pub(super) blkio_weight: Option<u16>,
    /// Length of a period in microseconds
    #[arg(long)]
    pub(super) cpu_period: Option<u64>,
    /// Processor time of a period in microseconds
    #[arg(long, allow_hyphen_values = true)]
    pub(super) cpu_quota: Option<i64>,
    /// Weight of processor time
    #[arg(long)]
    pub(super) cpu_share: Option<u64>,
    /// Processors
    #[arg(long)]
    pub(super) cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long)]
    pub(super) cpuset_mems: Option<String>,
    /// Limit of memory in bytes
    #[arg(long, allow_hyphen_values = true)]
    pub(super) memory: Option<i64>,
    /// Soft limit of memory in bytes
    #[arg(long, allow_hyphen_values = true)]
    pub(super) memory_reservation: Option<i64>,
    /// Limit of memory and swap in bytes
    #[arg(long, allow_hyphen_values = true)]
    pub(super) memory_swap: Option<i64>,
    /// Limit of processes
    #[arg(long, allow_hyphen_values = true)]
    pub(super) pids_limit: Option<i64>,
    /// The container's ID
    pub(super) id: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn command_line_of_containerd_is_understood() {
        let line =
            "corten --root /run/r --log /l.json --log-format json create --bundle /b --pid-file /p abc";
        let parsed = Arguments::try_parse_from(line.split(' ')).expect("parsed");
        assert_eq!(parsed.global.log_format, LogFormat::Json);
        let Command::Create(create) = parsed.command else { panic!("create") };
        assert_eq!((create.id.as_str(), create.bundle), ("abc", PathBuf::from("/b")));
    }

    #[test]
    fn options_of_the_program_are_its_own() {
        let parsed =
            Arguments::try_parse_from(["c", "exec", "-t", "abc", "ls", "-l", "--tty"]).expect("parsed");
        let Command::Exec(exec) = parsed.command else { panic!("exec") };
        assert_eq!((exec.tty, exec.command), (true, vec!["ls".into(), "-l".into(), "--tty".into()]));
    }
}
