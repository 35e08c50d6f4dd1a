//! The metrics of the process, under the names that every exporter gives them: read from the texts of /proc.

use super::text::{Kind, Text};

/// What the kernel says of the process. What cannot be read is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// User and system time.
    pub cpu_seconds: Option<f64>,
    /// When it was started, in seconds of Unix time.
    pub start_seconds: Option<f64>,
    /// Its memory in RAM.
    pub resident_bytes: Option<u64>,
    /// Its address space.
    pub virtual_bytes: Option<u64>,
    /// Its file descriptors.
    pub open_fds: Option<u64>,
    /// How many it may have.
    pub max_fds: Option<u64>,
}

/// The texts that [`Process::parse`] reads (proc(5)).
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// /proc/self/stat
    pub stat: &'a str,
    /// /proc/stat, for the time of the boot
    pub system: &'a str,
    /// /proc/self/limits
    pub limits: &'a str,
    /// How many entries /proc/self/fd has, the one of whoever counts not among them.
    pub open_fds: Option<u64>,
    /// sysconf(_SC_CLK_TCK)
    pub ticks_per_second: u64,
    /// sysconf(_SC_PAGESIZE)
    pub page_size: u64,
}

impl Process {
    /// Reads the texts.
    pub fn parse(files: &Files<'_>) -> Self {
        // The second field is the name of the program, in parentheses, and may hold anything.
        let fields = files.stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        // The third field of proc(5) is the first one here.
        let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| seconds(ticks, files.ticks_per_second);
        let booted = files.system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
        let limit = files.limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        Self {
            cpu_seconds: field(14).zip(field(15)).map(|(user, system)| seconds(user + system)),
            start_seconds: field(22).zip(booted).map(|(start, boot)| seconds(start) + seconds_of(boot)),
            virtual_bytes: field(23),
            resident_bytes: field(24).map(|pages| pages * files.page_size),
            open_fds: files.open_fds,
            max_fds: limit.and_then(|limit| limit.split_ascii_whitespace().next()?.parse().ok()),
        }
    }

    pub(super) fn render(&self, text: &mut Text) {
        let cpu = ("process_cpu_seconds_total", Kind::Counter, "User and system CPU time.", self.cpu_seconds);
        let start = ("process_start_time_seconds", Kind::Gauge, "When the process was started.", self.start_seconds);
        for (name, kind, help, value) in [cpu, start] {
            text.family(name, kind, help);
            if let Some(value) = value {
                text.sample(&[], value);
            }
        }
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory in RAM.", self.resident_bytes),
            ("process_virtual_memory_bytes", "Address space.", self.virtual_bytes),
            ("process_open_fds", "Open file descriptors.", self.open_fds),
            ("process_max_fds", "The most file descriptors that may be open.", self.max_fds),
        ] {
            text.family(name, Kind::Gauge, help);
            if let Some(value) = value {
                text.sample(&[], value);
            }
        }
    }
}

fn seconds(ticks: u64, per_second: u64) -> f64 {
    seconds_of(ticks) / seconds_of(per_second.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "exact for 285 million years")]
const fn seconds_of(whole: u64) -> f64 {
    whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of proc_pid_stat(5) by number: 14 utime, 15 stime, 22 starttime, 23 vsize, 24 rss.
    const STAT: &str = "4711 (dyn) prefix) S 1 4711 4711 0 -1 4194560 700 0 3 0 150 50 0 0 20 0 2 0 1000 9000000 2000 \
                        18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0";

    #[test]
    fn the_fields_of_proc() {
        let files = Files {
            stat: STAT,
            system: "cpu  1 2 3\nintr 5\nbtime 1700000000\nprocesses 5\n",
            limits: "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024      524288     files\n",
            open_fds: Some(17),
            ticks_per_second: 100,
            page_size: 4096,
        };
        let expected = Process {
            cpu_seconds: Some(2.0),
            start_seconds: Some(1_700_000_010.0),
            resident_bytes: Some(8_192_000),
            virtual_bytes: Some(9_000_000),
            open_fds: Some(17),
            max_fds: Some(1024),
        };
        assert_eq!(Process::parse(&files), expected);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let files = Files { stat: "", system: "", limits: "", open_fds: None, ticks_per_second: 100, page_size: 4096 };
        assert_eq!(Process::parse(&files), Process::default());
        let mut text = Text::default();
        Process::default().render(&mut text);
        assert!(text.finish().lines().all(|line| line.starts_with('#')));
    }
}
