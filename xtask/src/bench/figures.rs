//! Samples, and the table they end in.

use std::fmt;
use std::time::{Duration, Instant};

use super::Contender;

/// Measurements of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Runs `work` once and keeps how long it took.
    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0.push(start.elapsed());
        result
    }

    /// Adds a measurement.
    pub(crate) fn push(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// The value that this share of the samples does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p90] = [0.5, 0.9].map(|share| self.quantile(share).as_secs_f64() * 1000.0);
        write!(f, "{median:.1} / {p90:.1} ms")
    }
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    name: String,
    aim: String,
    /// By contender, then the kernel's floor.
    cells: [String; 4],
}

/// All lines.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a line.
    pub(crate) fn add(&mut self, name: &str, aim: &str) -> RowBuilder<'_> {
        eprintln!("measured: {name}");
        self.rows.push(Row { name: name.to_owned(), aim: aim.to_owned(), cells: Default::default() });
        RowBuilder(self.rows.last_mut().expect("a row was just added"))
    }
}

/// Fills the cells of a line.
#[derive(Debug)]
pub(crate) struct RowBuilder<'a>(&'a mut Row);

impl RowBuilder<'_> {
    /// Fills a contender's cell.
    pub(crate) fn cell(self, contender: Contender, value: impl fmt::Display) -> Self {
        self.0.cells[contender as usize] = value.to_string();
        self
    }

    /// Fills the kernel's cell.
    pub(crate) fn floor(self, value: impl fmt::Display) -> Self {
        self.0.cells[3] = value.to_string();
        self
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header =
            ["", "aim", "corten", "docker > Corten", "docker > dockerd", "kernel"].map(str::to_owned);
        let lines: Vec<[String; 6]> = std::iter::once(header)
            .chain(self.rows.iter().map(|row| {
                let [a, b, c, d] = row.cells.clone();
                [row.name.clone(), row.aim.clone(), a, b, c, d]
            }))
            .collect();
        let widths: Vec<usize> = (0..6)
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default())
            .collect();
        writeln!(f, "Times are median / 90th percentile.")?;
        for line in lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn median_and_90th_percentile_are_taken_from_sorted_samples() {
        let mut samples = Samples::default();
        [5, 1, 3, 2, 4, 10, 9, 8, 7, 6, 11]
            .into_iter()
            .for_each(|value| samples.push(Duration::from_millis(value)));
        assert_eq!(samples.to_string(), "6.0 / 10.0 ms");
    }

    #[test]
    fn table_is_aligned() {
        let mut table = Table::default();
        table.add("a row", "<= 1 ms").cell(Contender::DockerOnCorten, "2 ms").floor("x");
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].find("docker > Corten"), lines[2].find("2 ms"));
        assert_eq!(lines[1].find("kernel"), lines[2].find('x'));
    }
}
