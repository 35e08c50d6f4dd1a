//! What to measure, and how often.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// Measures how fast managed Services move to a new prefix
#[derive(clap::Parser)]
pub(crate) struct Options {
    /// A first impression: few rotations
    #[arg(long)]
    quick: bool,
    /// The scenes, by name or as numbers: pools/managed/plain/others/rotations/floor
    #[arg(long, value_delimiter = ',', default_value = "one,ten,crowd,pools,thousand")]
    scenes: Vec<String>,
    /// Another program than the one that was built with the benchmark
    #[arg(long, default_value = env!("CARGO_BIN_EXE_dyn-prefix"))]
    pub(crate) program: PathBuf,
    /// `cargo bench` says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A cluster, and how often its prefix rotates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// Of LB-IPAM, each with a range of its own.
    pub(crate) pools: usize,
    /// Services of type LoadBalancer that we manage.
    pub(crate) managed: usize,
    /// Others of that type.
    pub(crate) plain: usize,
    /// Those of another type.
    pub(crate) others: usize,
    pub(crate) rotations: usize,
    /// Rotations of the floor.
    pub(crate) floor: usize,
}

const fn scene(name: &'static str, pools: usize, managed: usize, plain: usize, others: usize) -> Scene {
    Scene { name, pools, managed, plain, others, rotations: 5, floor: 0 }
}

const SCENES: [Scene; 5] = [
    Scene { rotations: 50, floor: 20, ..scene("one", 1, 1, 0, 0) },
    Scene { rotations: 50, floor: 20, ..scene("ten", 1, 10, 0, 0) },
    scene("crowd", 1, 100, 900, 9000),
    Scene { rotations: 3, ..scene("pools", 1000, 100, 900, 9000) },
    Scene { floor: 1, ..scene("thousand", 1, 1000, 0, 0) },
];

impl Options {
    /// What to measure, one after the other.
    pub(crate) fn scenes(&self) -> Result<Vec<Scene>> {
        let quick = |scene: Scene| Scene { rotations: scene.rotations.min(5), floor: scene.floor.min(3), ..scene };
        let named = |name: &String| {
            let scene = SCENES.into_iter().find(|scene| scene.name == name).or_else(|| of_numbers(name));
            let scene = scene.with_context(|| format!("there is no scene {name}"))?;
            Ok(if self.quick { quick(scene) } else { scene })
        };
        self.scenes.iter().map(named).collect()
    }
}

fn of_numbers(text: &str) -> Option<Scene> {
    let numbers = text.split('/').map(|number| number.parse().ok()).collect::<Option<Vec<usize>>>()?;
    let [pools, managed, plain, others, rotations, floor] = numbers[..] else { return None };
    Some(Scene { rotations, floor, ..scene("own", pools, managed, plain, others) })
}
