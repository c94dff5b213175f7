//! What the API server refuses while the policies are in force.

use coreward_e2e::{
    bed::{self, NAMESPACE},
    story::{self, STEP, ensure, text},
    world::{Error, Result, chain_of, cluster, until},
};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{
        ApiResource, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams,
        PropagationPolicy,
    },
};
use serde_json::json;

use super::{ANCHOR, Scene};

/// Our definitions, and their kinds.
const DEFINITIONS: [(&str, &str); 4] = [
    ("provideroffers.coreward.dev", "ProviderOffer"),
    ("capacityunits.coreward.dev", "CapacityUnit"),
    ("deals.coreward.dev", "Deal"),
    ("chaintransactions.coreward.dev", "ChainTransaction"),
];
/// Confirms, with the offer's id, that it is let go as it is.
const ORPHAN_CONFIRM: &str = "coreward.dev/orphan-confirm";
/// A namespace that the operator has not made.
const FOREIGN: &str = "kube-node-lease";

/// Something that somebody deletes, and words of the refusal.
pub(super) struct Target {
    what: &'static str,
    pub(super) api: Api<DynamicObject>,
    pub(super) name: String,
    words: Vec<String>,
}

impl Target {
    fn new((what, name): (&'static str, &str), api: Api<DynamicObject>, words: &[&str]) -> Self {
        let words = words.iter().map(ToString::to_string).collect();
        Self { what, api, name: name.to_owned(), words }
    }
}

impl Scene<'_> {
    /// What people wrote or the operator mirrored.
    pub(super) async fn objects(&self) -> Result<Vec<Target>> {
        let (world, own) = (self.world, self.world.namespace());
        let idle = &self.offered.peers[1];
        let end = world.oracle().commitment(idle.commitment).await?.endEpoch;
        let until_end = format!("epoch {end}");
        let deal = self.deal_name().await?;
        let units = || self.ours("CapacityUnit", own);
        let offer = &self.offered.name;
        let at_stake = ["2 commitment(s)", "1 unit(s) in deals", &until_end];
        Ok(vec![
            Target::new(
                ("a proving unit", &self.unit_name(idle.units[0])),
                units(),
                &["pledged by commitment", &until_end],
            ),
            Target::new(
                ("a serving unit", &self.unit_name(self.served.seat.unit)),
                units(),
                &["serves deal", &deal],
            ),
            Target::new(
                ("a serving deal", &deal),
                self.ours("Deal", own),
                &["ACTIVE", "paid until epoch", "desiredState: Exit"],
            ),
            Target::new(("the offer", offer), self.ours("ProviderOffer", own), &at_stake),
            Target::new(("its namespace", own), self.everywhere::<Namespace>(), &at_stake),
        ])
    }

    /// What they stand on.
    fn ground(&self) -> Vec<Target> {
        let maps = ApiResource::erase::<ConfigMap>(&());
        let definitions = DEFINITIONS.map(|(name, kind)| {
            let words = [&format!("every {kind}"), "coreward.dev/delete-confirm"];
            let api = self.everywhere::<CustomResourceDefinition>();
            Target::new(("a definition", name), api, &words)
        });
        let others = [
            Target::new(
                ("the deal's namespace", &self.deal_namespace()),
                self.everywhere::<Namespace>(),
                &["workers of deal"],
            ),
            Target::new(
                ("the operator's namespace", NAMESPACE),
                self.everywhere::<Namespace>(),
                &["identities", "helm uninstall"],
            ),
            Target::new(
                ("the anchor", ANCHOR),
                Api::namespaced_with(self.world.client(), NAMESPACE, &maps),
                &["owns the unit pods"],
            ),
        ];
        others.into_iter().chain(definitions).collect()
    }

    /// With the policies in force nothing of it can even be asked for.
    pub(super) async fn refused(&self) -> Result<()> {
        for target in self.objects().await?.into_iter().chain(self.ground()) {
            for policy in [PropagationPolicy::Background, PropagationPolicy::Foreground] {
                let how =
                    DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
                let refusal = refusal(&target.api, &target.name, &how).await?;
                for word in &target.words {
                    ensure(refusal.contains(word.as_str()), || {
                        format!("{word:?} is not in the refusal of {}: {refusal}", target.what)
                    })?;
                }
                if how.propagation_policy == Some(PropagationPolicy::Background) {
                    self.teller.aside(&format!("{}: {refusal}", target.what));
                }
            }
        }
        self.transaction_stays().await?;
        self.nobody_makes_mirrors().await?;
        self.unconfirmed_orphan_stays().await?;
        self.operator_keeps_to_its_own().await?;
        self.uninstall_fails().await
    }

    /// A transaction that is not final is refused; one that is may go, so that the next one is tried.
    async fn transaction_stays(&self) -> Result<()> {
        let api = self.ours("ChainTransaction", NAMESPACE);
        let refused = until("a transaction is on its way, and stays", STEP, async || {
            for transaction in story::listed(&api).await? {
                let state = text(&transaction.data["status"]["state"]).to_owned();
                if !["Final", "Replaced", "Cancelled", "Displaced"].contains(&state.as_str()) {
                    let how = DeleteParams::default().dry_run();
                    let refusal = refusal(&api, &transaction.name_any(), &how).await?;
                    return Ok(Some(refusal));
                }
            }
            // Whatever is on its way at the end of an epoch is proofs.
            self.world.driver().next_epoch().await?;
            Ok(None)
        });
        let refusal = refused.await?;
        ensure(refusal.contains("holds nonce"), || format!("the refusal is {refusal}"))?;
        self.teller.aside(&format!("a transaction: {refusal}"));
        Ok(())
    }

    /// A unit, a deal or a transaction that a person writes is refused.
    async fn nobody_makes_mirrors(&self) -> Result<()> {
        let own = self.world.namespace();
        let mirrors = [("CapacityUnit", own), ("Deal", own), ("ChainTransaction", NAMESPACE)];
        for (kind, namespace) in mirrors {
            let api = self.ours(kind, namespace);
            let all = story::listed(&api).await?;
            let none = || Error::Finding(format!("no {kind} is there to copy"));
            let mut copy = all.into_iter().next().ok_or_else(none)?;
            copy.metadata = ObjectMeta {
                name: Some("made-by-hand".to_owned()),
                namespace: copy.namespace(),
                ..ObjectMeta::default()
            };
            let made = api.create(&PostParams::default(), &copy).await;
            let words = words(&format!("{kind} made by hand"), made)?;
            has(&words, "ProviderOffer")?;
            self.teller.aside(&format!("a {kind} made by hand: {words}"));
        }
        Ok(())
    }

    /// To let a staked offer go with no transaction takes its id, so that a slip of the hand does not.
    async fn unconfirmed_orphan_stays(&self) -> Result<()> {
        let api = self.ours("ProviderOffer", self.world.namespace());
        let (name, id) = (&self.offered.name, self.offered.id.to_string());
        let how = DeleteParams::default().dry_run();
        let write = async |policy: &str, confirmed: Option<&str>| {
            let patch = json!({
                "metadata": { "annotations": { ORPHAN_CONFIRM: confirmed } },
                "spec": { "deletionPolicy": policy },
            });
            let written = api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            written.map(drop).map_err(cluster("change the offer's deletionPolicy"))
        };
        let policy = api.get(name).await.map_err(cluster("read the offer"))?;
        let policy = text(&policy.data["spec"]["deletionPolicy"]).to_owned();
        for confirmed in [None, Some("0x51")] {
            write("Orphan", confirmed).await?;
            let words = refusal(&api, name, &how).await?;
            has(&words, ORPHAN_CONFIRM)?;
            has(&words, &id)?;
            self.teller.aside(&format!("the offer with deletionPolicy Orphan: {words}"));
        }
        write("Orphan", Some(&id)).await?;
        api.delete(name, &how).await.map_err(cluster("ask whether the confirmed offer may go"))?;
        write(&policy, None).await
    }

    /// The operator's own account can write nowhere but where it has made the namespace.
    async fn operator_keeps_to_its_own(&self) -> Result<()> {
        let operator = story::operators::in_its_name(self.world).await?;
        let (post, dry) = (
            PostParams { dry_run: true, ..PostParams::default() },
            DeleteParams::default().dry_run(),
        );
        let named =
            |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let maps: Api<ConfigMap> = Api::namespaced(operator.clone(), "default");
        let map = ConfigMap { metadata: named("not-its-place"), ..ConfigMap::default() };
        let foreign: Api<Namespace> = Api::all(operator.clone());
        let unmarked = Namespace { metadata: named("not-marked"), ..Namespace::default() };
        let mark =
            json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "coreward" } } });
        let change = PatchParams { dry_run: true, ..PatchParams::default() };
        let tried = [
            ("default", words("a ConfigMap in default", maps.create(&post, &map).await)?),
            (
                "not-marked",
                words("a namespace without our label", foreign.create(&post, &unmarked).await)?,
            ),
            (
                FOREIGN,
                words(
                    "a namespace taken over",
                    foreign.patch(FOREIGN, &change, &Patch::Merge(&mark)).await,
                )?,
            ),
            (FOREIGN, words("a namespace of others", foreign.delete(FOREIGN, &dry).await)?),
        ];
        for (namespace, words) in tried {
            has(&words, &format!("the operator did not make namespace {namespace}"))?;
            self.teller.aside(&format!("the operator itself: {words}"));
        }
        let own: Api<ConfigMap> = Api::namespaced(operator, NAMESPACE);
        own.create(&post, &map).await.map(drop).map_err(cluster("write into its own namespace"))
    }

    /// `helm uninstall` fails, and says what is staked and until when.
    async fn uninstall_fails(&self) -> Result<()> {
        let uninstalled = bed::undeploy(self.world.bed()).await;
        let refusal = uninstalled.err().map(|error| chain_of(&error)).unwrap_or_default();
        let end = self.world.oracle().commitment(self.offered.peers[0].commitment).await?.endEpoch;
        has(&refusal, "coreward-check-uninstall")?;
        has(&refusal, &format!("offer {}/{} has", self.world.namespace(), self.offered.name))?;
        has(&refusal, &format!("ends in epoch {end}"))?;
        self.teller.aside(&format!("helm uninstall: {refusal}"));
        Ok(())
    }
}

/// The API server's words when it refuses a deletion.
pub(super) async fn refusal(
    api: &Api<DynamicObject>,
    name: &str,
    how: &DeleteParams,
) -> Result<String> {
    words(&format!("the deletion of {name}"), api.delete(name, how).await)
}

/// The words of a policy's refusal.
fn words<T>(what: &str, asked: std::result::Result<T, kube::Error>) -> Result<String> {
    match asked {
        Err(kube::Error::Api(status)) if status.message.contains("Coreward refuses") => {
            Ok(status.message.clone())
        }
        Err(error) => Err(cluster(format!("ask for {what}"))(error)),
        Ok(_) => Err(Error::Finding(format!("{what} was not refused"))),
    }
}

fn has(words: &str, wanted: &str) -> Result<()> {
    ensure(words.contains(wanted), || format!("{wanted:?} is not in the refusal: {words}"))
}
