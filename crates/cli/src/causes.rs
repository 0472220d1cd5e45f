//! From each library's error to a [`Failure`]: whose fault it is, and what to do.

use std::error::Error;
use std::io::{self, ErrorKind};

use ounce_build::distribution::alpine::AlpineError;
use ounce_build::distribution::debian::DebianError;
use ounce_build::page::PageError;
use ounce_build::{ArtifactError, BuildError, CompileError, PlanError, ProjectError, ToolError};
use ounce_oci::blobs::BlobError;
use ounce_oci::engine::EngineError;
use ounce_oci::fetch::FetchError;
use ounce_oci::layer::LayerError;
use ounce_oci::registry::{CredentialError, RegistryError};
use ounce_oci::store::StoreError;
use ounce_rootfs::unpack::UnpackError;
use ounce_run::Errno;
use ounce_run::StartError;
use ounce_run::containers::StateError;
use ounce_run::failure::NO_MEMORY;
use ounce_run::image::ImageError;
use ounce_run::plan::PlanError as RunPlanError;
use ounce_run::proxy::ProxyError;
use ounce_run::publish::PublishError;
use ounce_run::serve::ServeError;
use ounce_ship::application::ApplicationError;
use ounce_ship::ecs::EcsError;
use ounce_ship::kubernetes::OptionsError;
use ounce_ship::kubernetes::api::ApiError;
use ounce_ship::kubernetes::apply::ApplyError;
use ounce_ship::kubernetes::kubeconfig::KubeconfigError;
use ounce_ship::lambda::LambdaError;
use ounce_ship::resolve::ResolveError;
use ounce_ship::ssh::MachineError;
use ounce_ship::web::WebError;
use ounce_trim::scratch::HostError;
use ounce_weigh::plain::PlainError;
use ounce_weigh::sizes::MeasureError;

use crate::failure::{Failure, Kind};

/// A failure whose kind follows from the operating system's error in its
/// chain, if there is one that accuses the host, and is `kind` otherwise.
pub(crate) fn by_cause(kind: Kind, error: impl Error + Send + Sync + 'static) -> Failure {
    let accused = io_error(&error).and_then(accuse);
    match accused {
        Some(hint) => Failure::new(Kind::Host, error).hint(hint),
        None => Failure::new(kind, error),
    }
}

fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What to do about an error that is the host's, not the input's.
fn accuse(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("free some space, or use another disk: --store DIR, XDG_CACHE_HOME")
        }
        ErrorKind::PermissionDenied => Some("look at the owner and the mode of that path"),
        ErrorKind::ReadOnlyFilesystem => {
            Some("the file system is read-only: use another one by --store DIR")
        }
        ErrorKind::OutOfMemory => Some(NO_MEMORY),
        _ => None,
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        by_cause(Kind::Host, error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hints: Vec<String> = match &error {
            StoreError::NotFound {
                nearest: Some(nearest),
                ..
            } => vec![format!("did you mean {nearest}?")],
            StoreError::NotFound { .. } => vec!["`ounce images` lists what there is".to_owned()],
            StoreError::Ambiguous { candidates, .. } => {
                vec![format!("it could be {}", candidates.join(", "))]
            }
            StoreError::NoPlatform { available, .. } => {
                let list: Vec<String> = available.iter().map(ToString::to_string).collect();
                vec![format!(
                    "it has {}: choose with --platform",
                    list.join(", ")
                )]
            }
            StoreError::Locked { .. } => {
                vec!["wait for it to end, or wait longer with --lock-timeout SECONDS".to_owned()]
            }
            StoreError::NotAStore { .. } => {
                vec!["choose an empty folder with --store DIR".to_owned()]
            }
            StoreError::Blob(
                BlobError::Corrupt { .. } | BlobError::Size { .. } | BlobError::Missing { .. },
            ) => {
                vec!["`ounce verify` lists every fault; build or copy the image again".to_owned()]
            }
            StoreError::Engine(error) => error.hint().into_iter().collect(),
            _ => Vec::new(),
        };
        let kind = match &error {
            StoreError::Locked { .. } | StoreError::Blob(BlobError::Write { .. }) => Kind::Host,
            StoreError::Engine(EngineError::Absent { .. } | EngineError::Broken { .. }) => {
                Kind::Host
            }
            _ => Kind::Input,
        };
        let failure = by_cause(kind, error);
        hints.into_iter().fold(failure, Failure::hint)
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let hint = error.hint();
        let kind = match &error {
            FetchError::Url(_) | FetchError::Proxy { .. } => Kind::Usage,
            FetchError::Certificates { .. } | FetchError::NoCertificates { .. } => Kind::Input,
            FetchError::Corrupt { .. }
            | FetchError::Size { .. }
            | FetchError::TooLarge { .. }
            | FetchError::Status { status: 404, .. } => Kind::Input,
            FetchError::Write { .. } => return by_cause(Kind::Host, error),
            _ => Kind::Network,
        };
        hint.into_iter()
            .fold(Failure::new(kind, error), Failure::hint)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let hint = error.hint();
        let kind = match error {
            RegistryError::Fetch(error) => return error.into(),
            RegistryError::Store(error) => return (*error).into(),
            RegistryError::Target { .. } => Kind::Usage,
            RegistryError::NotFound { .. } | RegistryError::Mismatch { .. } => Kind::Input,
            RegistryError::Credential(CredentialError::NotLoggedIn { .. }) => Kind::No,
            RegistryError::Credential(CredentialError::File { .. }) => Kind::Host,
            RegistryError::Credential(_) => Kind::Input,
            _ => Kind::Network,
        };
        hint.into_iter()
            .fold(Failure::new(kind, error), Failure::hint)
    }
}

/// A layer or what is in it is at fault, unless the host is.
fn of_layer(error: impl Error + Send + Sync + 'static) -> Failure {
    let failure = by_cause(Kind::Input, error);
    match failure.hints.is_empty() {
        true => failure.hint("the image is damaged, or made to do harm: have it made anew"),
        false => failure,
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let (kind, hint) = match &error {
            ServeError::Listen { source, .. } => (Kind::Host, source.hint()),
            ServeError::Image { .. } => (Kind::Input, None),
            ServeError::Host { .. } => (Kind::Host, None),
        };
        let failure = Failure::new(kind, error);
        hint.into_iter().fold(failure, Failure::hint)
    }
}

impl From<LayerError> for Failure {
    fn from(error: LayerError) -> Self {
        of_layer(error)
    }
}

impl From<UnpackError> for Failure {
    fn from(error: UnpackError) -> Self {
        match &error {
            UnpackError::Busy { .. } => {
                Failure::new(Kind::Host, error).hint("wait for it to end and try again")
            }
            UnpackError::Host { .. } => by_cause(Kind::Host, error),
            _ => of_layer(error),
        }
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        let hints = error.hints();
        let failure = match &error {
            // The compiler has looked at the source and said no.
            PageError::Failed { .. } if !error.lacks_target() => Self::new(Kind::No, error),
            PageError::Failed { .. } | PageError::Start { .. } => Self::new(Kind::Host, error),
            _ => by_cause(Kind::Input, error),
        };
        hints.into_iter().fold(failure, Failure::hint)
    }
}

impl From<WebError> for Failure {
    fn from(error: WebError) -> Self {
        let hints = error.hints();
        let failure = Self::new(Kind::Input, error);
        hints.into_iter().fold(failure, Failure::hint)
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let hints = error.hints();
        let kind = match &error {
            PlanError::Setting(_)
            | PlanError::Reference(_)
            | PlanError::Meaningless { .. }
            | PlanError::Twice(_)
            | PlanError::NoProgramFor(_)
            | PlanError::Tool(ToolError::Several { .. } | ToolError::NoBin { .. }) => Kind::Usage,
            PlanError::Tool(ToolError::Missing { .. } | ToolError::NoWork)
            | PlanError::Project(ProjectError::Start { .. })
            | PlanError::Smallest(_)
            | PlanError::Target(_) => Kind::Host,
            _ => Kind::Input,
        };
        hints.into_iter().fold(by_cause(kind, error), Failure::hint)
    }
}

impl From<DebianError> for Failure {
    fn from(error: DebianError) -> Self {
        let hints = error.hints();
        let mut failure = match error.is_network() {
            true => Failure::new(Kind::Network, error),
            false => by_cause(Kind::Input, error),
        };
        failure.hints.extend(hints);
        failure
    }
}

impl From<AlpineError> for Failure {
    fn from(error: AlpineError) -> Self {
        let hints = error.hints();
        let mut failure = match (error.is_network(), &error) {
            (true, _) => Failure::new(Kind::Network, error),
            (_, AlpineError::World(_) | AlpineError::Platform(_)) => {
                Failure::new(Kind::Usage, error)
            }
            _ => by_cause(Kind::Input, error),
        };
        failure.hints.extend(hints);
        failure
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let hints = error.hints();
        let failure = match error {
            BuildError::Store(error) => return error.into(),
            // The compiler has looked at the source and said no.
            BuildError::Compile(CompileError::Failed(_)) => Failure::new(Kind::No, error),
            BuildError::Compile(CompileError::Start { .. } | CompileError::Write { .. }) => {
                by_cause(Kind::Host, error)
            }
            BuildError::Compile(CompileError::Artifact(
                ArtifactError::Several { .. } | ArtifactError::NoBin { .. },
            )) => Failure::new(Kind::Usage, error),
            BuildError::Python(error) if error.is_network() => Failure::new(Kind::Network, error),
            error => by_cause(Kind::Input, error),
        };
        hints.into_iter().fold(failure, Failure::hint)
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Failure::new(Kind::Input, error).hint("give the user by number: --user UID:GID")
    }
}

impl From<RunPlanError> for Failure {
    fn from(error: RunPlanError) -> Self {
        StartError::from(error).into()
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let hint = error.hint();
        let kind = match &error {
            StartError::Execute { source, .. } if *source == Errno::NOENT => Kind::NotFound,
            StartError::Execute { .. } => Kind::NotExecutable,
            StartError::Internal(_) => Kind::Bug,
            StartError::Plan(_) => Kind::Input,
            _ => Kind::Host,
        };
        hint.into_iter()
            .fold(Failure::new(kind, error), Failure::hint)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let hint = error.hint();
        let kind = match &error {
            StateError::Name(_) => Kind::Usage,
            StateError::Stuck(_) | StateError::File { .. } => Kind::Host,
            _ => Kind::Input,
        };
        hint.into_iter()
            .fold(Failure::new(kind, error), Failure::hint)
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let hint = error.hint();
        hint.into_iter()
            .fold(Failure::new(Kind::Host, error), Failure::hint)
    }
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        let hint = error.hint();
        hint.into_iter()
            .fold(Failure::new(Kind::Host, error), Failure::hint)
    }
}

impl From<ApplicationError> for Failure {
    fn from(error: ApplicationError) -> Self {
        let hint = error.hint();
        let kind = match &error {
            ApplicationError::User(_) | ApplicationError::Program | ApplicationError::Port => {
                Kind::Input
            }
            _ => Kind::Usage,
        };
        Failure::new(kind, error).hint(hint)
    }
}

impl From<EcsError> for Failure {
    fn from(error: EcsError) -> Self {
        let (kind, hint) = match &error {
            EcsError::Size { .. } => (Kind::Usage, "lower --cpu or --memory"),
            EcsError::Secret { .. } => (
                Kind::Usage,
                "name it by its ARN: --secret NAME=arn:aws:secretsmanager:…",
            ),
            EcsError::Architecture(_) => (
                Kind::Input,
                "build it for one of them: ounce build --platform linux/arm64",
            ),
        };
        Failure::new(kind, error).hint(hint)
    }
}

impl From<LambdaError> for Failure {
    fn from(error: LambdaError) -> Self {
        let (kind, hint) = match &error {
            LambdaError::Architecture(_) => (
                Kind::Input,
                "build it for one of them: ounce build --platform linux/arm64",
            ),
            LambdaError::NoAdapter { reason, .. } => (Kind::Bug, *reason),
            LambdaError::MoreFiles(_) => (Kind::Input, "take it whole: --package image"),
            LambdaError::LongZip(_) => (Kind::Input, "take it as an image: --package image"),
            LambdaError::LongImage(_) => (Kind::Input, "ounce trim cuts it down"),
            LambdaError::Compression { .. } => (
                Kind::Input,
                "ounce copy, or ounce build, writes it with gzip",
            ),
            LambdaError::Reserved(_) => (Kind::Usage, "give it another name"),
            LambdaError::Variables(_) => (Kind::Usage, "put them into a file of the image"),
            LambdaError::Secret(_) => (
                Kind::Usage,
                "let the program read it, by the role it runs with",
            ),
            LambdaError::Memory(_) => (Kind::Usage, "say less by --memory"),
            LambdaError::Word(_) => (Kind::Input, "build it with another command"),
            LambdaError::Layer(_) | LambdaError::Store(_) => (Kind::Host, "ounce verify"),
        };
        Failure::new(kind, error).hint(hint)
    }
}

impl From<OptionsError> for Failure {
    fn from(error: OptionsError) -> Self {
        Failure::new(Kind::Usage, error)
    }
}

impl From<KubeconfigError> for Failure {
    fn from(error: KubeconfigError) -> Self {
        let hint = error.hint();
        let kind = match &error {
            KubeconfigError::Program { .. } => Kind::Host,
            KubeconfigError::NoContext { .. } | KubeconfigError::Missing { .. } => Kind::Usage,
            _ => Kind::Input,
        };
        hint.into_iter().fold(by_cause(kind, error), Failure::hint)
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let hint = error.hint();
        let kind = match &error {
            ApplyError::Api(
                ApiError::Unreachable(_)
                | ApiError::Answer { .. }
                | ApiError::Refused {
                    status: 401 | 403 | 429 | 500..,
                    ..
                },
            ) => Kind::Network,
            ApplyError::Rollout { .. } | ApplyError::Interrupted => Kind::No,
            _ => Kind::Input,
        };
        hint.into_iter()
            .fold(Failure::new(kind, error), Failure::hint)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        ApplyError::from(error).into()
    }
}

impl From<MachineError> for Failure {
    fn from(error: MachineError) -> Self {
        let hint = error.hint();
        hint.into_iter()
            .fold(Failure::new(Kind::Input, error), Failure::hint)
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        Failure::new(Kind::Input, error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        by_cause(Kind::Host, error)
    }
}

impl From<PlainError> for Failure {
    fn from(error: PlainError) -> Self {
        match error {
            PlainError::Store(error) => error.into(),
            other => by_cause(Kind::Input, other),
        }
    }
}

impl From<MeasureError> for Failure {
    fn from(error: MeasureError) -> Self {
        of_layer(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("writing blob")]
    struct Outer(#[source] io::Error);

    #[test]
    fn full_disk_deep_in_the_chain_is_the_hosts_fault() {
        let failure = by_cause(Kind::Input, Outer(ErrorKind::StorageFull.into()));
        assert_eq!(failure.kind, Kind::Host);
        assert!(failure.hints[0].contains("free some space"));
    }

    #[test]
    fn file_that_is_not_there_is_the_inputs_fault() {
        assert_eq!(
            by_cause(Kind::Input, Outer(ErrorKind::NotFound.into())).kind,
            Kind::Input
        );
    }
}
