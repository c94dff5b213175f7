//! What the product promises, told from outside on a real cluster and the real contracts.
//!
//! Stories that need the two exclusive cores take turns; the others run beside them. Only a quiet story has the whole
//! cluster to itself.

mod adopted;
mod bad_input;
mod failover;
mod hands_off;
mod held_back;
mod holes;
mod killed_anywhere;
mod killed_once;
mod left;
mod left_alone;
mod long_noise;
mod mass_change;
mod mass_exit;
mod nobody_home;
mod nodes;
mod partitioned;
mod plain_mistakes;
mod quiet;
mod relay_only;
mod renewed;
mod rolled;
mod several_endpoints;
mod the_loop;
mod two_providers_one_subnet;
mod withdrawn;
mod wrong_offers;

use coreward_e2e::{
    apps::Apps,
    bed,
    story::{
        Teller, end, money,
        product::{Stage, set_up},
    },
    world::{Error, Party, Result, World, chain_of},
};
use tokio::sync::{Mutex, OnceCell, RwLock};

/// Which party plays in which story.
mod people {
    pub(crate) const THE_LOOP: usize = 0;
    pub(crate) const FIRST_OF_TWO: usize = 1;
    pub(crate) const SECOND_OF_TWO: usize = 2;
    pub(crate) const KILLED_ONCE: usize = 3;
    pub(crate) const PLAIN_MISTAKES: usize = 4;
    pub(crate) const QUIET: usize = 5;
    pub(crate) const LATE_BESIDE_QUIET: usize = 6;
    pub(crate) const HANDS_OFF: usize = 7;
    pub(crate) const WITHDRAWN: usize = 8;
    pub(crate) const BAD_INPUT: usize = 9;
    pub(crate) const NODES: usize = 10;
    pub(crate) const NOBODY_HOME: usize = 11;
    pub(crate) const PARTITIONED: usize = 12;
    pub(crate) const KILLED_ANYWHERE: usize = 13;
    pub(crate) const ADOPTED: usize = 14;
    pub(crate) const LONG_NOISE: usize = 15;
    pub(crate) const FAILOVER: usize = 16;
    pub(crate) const HELD_BACK: usize = 17;
    pub(crate) const RENEWED: usize = 18;
    pub(crate) const LEFT: usize = 19;
    pub(crate) const MASS_EXIT: usize = 20;
    pub(crate) const SEVERAL_ENDPOINTS: usize = 21;
    pub(crate) const RELAY_ONLY: usize = 22;
    pub(crate) const OTHER_SIDE_OF_RELAY: usize = 23;
    pub(crate) const COUNT: u8 = 24;
}

/// Held by whoever uses the cores of n1 and n2.
static CORES: Mutex<()> = Mutex::const_new(());
/// Shared by all stories but a quiet one, which must be alone.
static SILENCE: RwLock<()> = RwLock::const_new(());
/// The product is installed once for all: its people, and the apps of their deals.
static PRODUCT: OnceCell<(Vec<Party>, Apps)> = OnceCell::const_new();

/// The stage, set up by whichever story comes first.
async fn stage(teller: &Teller) -> Result<Stage> {
    let (parties, apps) = PRODUCT.get_or_try_init(|| Box::pin(install(teller))).await?.clone();
    // Each story has a client of its own: one ends with the test that made it.
    let bed = Box::pin(bed::up()).await;
    let bed = bed.map_err(|error| Error::Finding(format!("no bed: {}", chain_of(&error))))?;
    Ok(Stage { bed, parties, apps })
}

async fn install(teller: &Teller) -> Result<(Vec<Party>, Apps)> {
    let stage = Box::pin(set_up(teller, people::COUNT)).await?;
    Ok((stage.parties, stage.apps))
}

/// What a story needs for itself while it is told.
enum Needs {
    /// Nothing: it can be told beside any other but one in solitude.
    Nothing,
    /// The cores of n1 and n2.
    Cores,
    /// The whole cluster.
    Solitude,
}

/// Tells a story of one party, once it can have what it needs.
async fn on_stage(
    story: &'static str,
    (person, needs): (usize, Needs),
    tell: impl AsyncFnOnce(&World, &Teller, &Stage) -> Result<()>,
) -> Told {
    let teller = Teller::of(story);
    let told = alone(&teller, needs, async |stage| {
        let title = story.replace('_', " ");
        tell_and_release(stage, (&title, person), async |world| tell(world, &teller, stage).await)
            .await
    });
    told.await
}

/// Sets the stage, and tells once a story can have what it needs.
async fn alone(
    teller: &Teller,
    needs: Needs,
    tell: impl AsyncFnOnce(&Stage) -> Result<()>,
) -> Told {
    let stage = stage(teller).await.map_err(|error| chain_of(&error))?;
    let _cores = match needs {
        Needs::Nothing => None,
        Needs::Cores | Needs::Solitude => Some(CORES.lock().await),
    };
    let (_beside, _solitude) = match needs {
        Needs::Nothing | Needs::Cores => (Some(SILENCE.read().await), None),
        Needs::Solitude => (None, Some(SILENCE.write().await)),
    };
    Box::pin(tell(&stage)).await.map_err(|error| chain_of(&error))
}

/// Tells a story in a world of its own, and lets its offers go in the end, so that the next one finds free cores; a story
/// that fails leaves its evidence in the output first.
async fn tell_and_release(
    stage: &Stage,
    (story, person): (&str, usize),
    tell: impl AsyncFnOnce(&World) -> Result<()>,
) -> Result<()> {
    let mut namespace = String::new();
    let told = World::tell(&stage.bed, story, &stage.parties[person], async |world| {
        world.namespace().clone_into(&mut namespace);
        tell(world).await?;
        money::adds_up(world).await?;
        end::release(world).await
    });
    let told = Box::pin(told).await;
    if told.is_err()
        && let Err(error) = end::clear_story(&stage.bed, &namespace).await
    {
        bed::say(format_args!("{namespace} cannot be cleared: {}", chain_of(&error)));
    }
    told
}

/// What a test tells of its story: nothing, or why it did not go as told.
type Told = std::result::Result<(), String>;
