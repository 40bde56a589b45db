//! The processes of a container, as the host's `ps` shows them.

use std::collections::HashSet;

use api::container::TopResponse;
use shim::{Reply, RequestBody};

use crate::engine::Engine;
use crate::error::Error;
use crate::state::Status;

impl Engine {
    /// Lists a container's processes with the columns that `ps` gives for `arguments` (`-ef` where empty).
    ///
    /// # Errors
    ///
    /// The container does not run, or `ps` is missing, fails, or shows no process IDs.
    pub async fn top(&self, reference: &str, arguments: &str) -> Result<TopResponse, Error> {
        let container = self.find(reference)?;
        if container.published().state.status == Status::Restarting {
            let id = container.id();
            return Err(Error::conflict(format!(
                "Container {id} is restarting, wait until the container is running"
            )));
        }
        let live = container.live()?;
        let processes = match live.client.request(RequestBody::Processes, Vec::new()).await {
            Ok(Reply::Processes(processes)) => processes.into_iter().collect(),
            _ => HashSet::new(),
        };
        let arguments = if arguments.is_empty() { "-ef".to_owned() } else { arguments.to_owned() };
        let text =
            tokio::task::spawn_blocking(move || ps(&arguments)).await.expect("running ps does not panic")?;
        select(&text, &processes)
    }
}

fn ps(arguments: &str) -> Result<String, Error> {
    let failed = |reason: String| Error::Program { program: "ps", reason };
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let output =
        std::process::Command::new("ps").args(&words).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

/// Keeps the rows of the container's processes. The last column may hold spaces.
fn select(text: &str, processes: &HashSet<i32>) -> Result<TopResponse, Error> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let place = titles
        .iter()
        .position(|title| title == "PID")
        .ok_or_else(|| Error::invalid("Couldn't find PID field in ps output"))?;
    let row = |line: &str| -> Option<Vec<String>> {
        let fields = columns(line, titles.len());
        let process: i32 = fields.get(place)?.parse().ok()?;
        processes.contains(&process).then_some(fields)
    };
    Ok(TopResponse { processes: lines.filter_map(row).collect(), titles })
}

fn columns(line: &str, count: usize) -> Vec<String> {
    let mut rest = line.trim_start();
    let mut fields = Vec::with_capacity(count);
    while fields.len() + 1 < count {
        let Some((field, after)) = rest.split_once(char::is_whitespace) else { break };
        fields.push(field.to_owned());
        rest = after.trim_start();
    }
    fields.push(rest.trim_end().to_owned());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str =
        "UID        PID  PPID CMD\nroot         7     1 sh -c  'a b'\nroot        70     1 other\n";

    #[test]
    fn only_the_containers_rows_are_kept_and_commands_stay_whole() {
        let top = select(OUTPUT, &HashSet::from([7])).unwrap();
        assert_eq!(top.titles, ["UID", "PID", "PPID", "CMD"]);
        assert_eq!(top.processes, [["root", "7", "1", "sh -c  'a b'"]]);
    }

    #[test]
    fn output_without_process_ids_is_refused() {
        assert!(select("CMD\nsh\n", &HashSet::new()).is_err());
    }
}
