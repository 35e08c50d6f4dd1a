//! What to measure, and how often.

use std::path::PathBuf;
use std::time::Duration;

/// Measures how fast a new prefix reaches the pools
#[derive(clap::Parser)]
pub(crate) struct Options {
    /// A first impression: few rotations, no long waits
    #[arg(long)]
    quick: bool,
    /// Numbers of pools; the lists below go with this one, and the last entry of each is repeated
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000")]
    pools: Vec<usize>,
    /// Rotations in a row
    #[arg(long, value_delimiter = ',', default_value = "50,50,20", default_value_if("quick", "true", "15,5,3"))]
    rotations: Vec<usize>,
    /// Rotations after two minutes without traffic
    #[arg(long, value_delimiter = ',', default_value = "5,1,0", default_value_if("quick", "true", "0"))]
    cold: Vec<usize>,
    /// Seconds without traffic before each of those
    #[arg(long, default_value = "120")]
    cold_pause: u64,
    /// Starts of the daemon that are timed
    #[arg(long, value_delimiter = ',', default_value = "10,2,2", default_value_if("quick", "true", "3,1,1"))]
    starts: Vec<usize>,
    /// Seconds of idleness
    #[arg(long, value_delimiter = ',', default_value = "300,0,60", default_value_if("quick", "true", "20,0,0"))]
    idle: Vec<u64>,
    /// Rotations of the floor
    #[arg(long, value_delimiter = ',', default_value = "30,10,3", default_value_if("quick", "true", "10,3,1"))]
    floor: Vec<usize>,
    /// Leave out the end of the drain, which takes a minute for each number of pools
    #[arg(long, default_value_if("quick", "true", "true"))]
    no_drain: bool,
    /// Another program than the one that was built with the benchmark
    #[arg(long, default_value = env!("CARGO_BIN_EXE_dyn-prefix"))]
    pub(crate) program: PathBuf,
    /// `cargo bench` says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What to measure with so many pools.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    pub(crate) program: PathBuf,
    pub(crate) pools: usize,
    pub(crate) rotations: usize,
    pub(crate) cold: usize,
    pub(crate) cold_pause: Duration,
    pub(crate) starts: usize,
    pub(crate) idle: Duration,
    pub(crate) floor: usize,
    pub(crate) drain: bool,
}

impl Options {
    /// What to measure, one after the other.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = Size> {
        self.pools.iter().enumerate().map(|(index, pools)| Size {
            program: self.program.clone(),
            pools: *pools,
            rotations: at(&self.rotations, index),
            cold: at(&self.cold, index),
            cold_pause: Duration::from_secs(self.cold_pause),
            // One start there has to be.
            starts: at(&self.starts, index).max(1),
            idle: Duration::from_secs(at(&self.idle, index)),
            floor: at(&self.floor, index),
            drain: !self.no_drain,
        })
    }
}

fn at<T: Copy + Default>(list: &[T], index: usize) -> T {
    list.get(index).or_else(|| list.last()).copied().unwrap_or_default()
}
