//! The demo: the whole loop, told in the terminal on a real cluster and the real contracts.

use crate::{
    bed::Bed,
    story::{Teller, product, the_loop},
    world::{Error, Result, World, evidence},
};

/// Sets everything up, tells the loop, and leaves the bed as it is at the story's end: two units that prove.
///
/// # Errors
/// What the story found, after its evidence was printed.
pub async fn tell() -> Result<()> {
    let teller = Teller::of("demo");
    let stage = Box::pin(product::set_up(&teller, 1)).await?;
    let party = stage.parties.first();
    let party = party.ok_or_else(|| Error::Finding("the demo has no people".to_owned()))?;
    let world = World::open(&stage.bed, "demo", party).await?;
    if let Err(error) = Box::pin(the_loop::tell(&world, &teller, &stage.apps.hello)).await {
        print(&evidence(&stage.bed, world.oracle()).await);
        return Err(error);
    }
    print(&last_words(&stage.bed, &world, &teller));
    Ok(())
}

fn last_words(bed: &Bed, world: &World, teller: &Teller) -> String {
    let namespace = world.namespace();
    format!(
        "\nThat was the loop, in {:.0} s. The cluster and the chain are still up; the two units go on proving.\n\n  \
         export KUBECONFIG={}\n  export PATH={}:$PATH\n\n  \
         kubectl get poffer,cu,cdl --namespace {namespace}        # what is sold, what each unit does, which deals ran\n  \
         kubectl describe poffer loop --namespace {namespace}     # conditions and events\n  \
         kubectl get ctx --namespace {}             # every transaction, with its fate\n  \
         kubectl get pods --all-namespaces --output wide\n\n\
         The chain answers at {}. `make demo-down` removes every trace.\n",
        teller.elapsed().as_secs_f32(),
        bed.kubeconfig().display(),
        bed.programs().display(),
        crate::bed::NAMESPACE,
        bed.chain_url(),
    )
}

#[expect(
    clippy::print_stdout,
    reason = "these are the demo's last words to the person at the terminal"
)]
fn print(text: &str) {
    println!("{text}");
}
