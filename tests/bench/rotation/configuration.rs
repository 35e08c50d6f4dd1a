//! What the daemon is told to do.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::netns::WAN;
use crate::world::subnet;

/// How long an old prefix stays.
#[derive(Clone, Copy)]
pub(crate) enum Drain {
    /// As long as it does by default: an hour, or until two newer ones were replaced.
    Default,
    /// For the shortest time there is, one at most.
    Short,
}

/// A subnet for each pool: the same range on two pools of a cluster would be refused.
pub(crate) fn text(dir: &Path, kubeconfig: &Path, pools: usize, drain: Drain) -> Result<String> {
    let (dir, kubeconfig) = (dir.display(), kubeconfig.display());
    let mut text = format!(
        "[daemon]\nid = \"bench\"\nstateDirectory = \"{dir}/state\"\ncontrolSocket = \"{dir}/control.sock\"\n\
         [[cluster]]\nname = \"lab\"\nkubeconfig = \"{kubeconfig}\"\n\
         [[dynamicPrefix]]\nname = \"bench\"\nacquisition.routerAdvertisement = {{ interface = \"{WAN}\" }}\n"
    );
    if let Drain::Short = drain {
        text.push_str("transition = { drainPeriodMinutes = 1, maxPrefixHistory = 1 }\n");
    }
    for number in 0..pools {
        let name = subnet(number);
        write!(text, "[[dynamicPrefix.subnets]]\nname = \"{name}\"\nindex = {number}\nprefixLength = 112\n")?;
    }
    Ok(text)
}
