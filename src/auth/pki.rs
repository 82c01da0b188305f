//! The certificates and keys of one server: made at the first start, kept in its certificate folder (or in memory
//! only), used again afterwards, leaves renewed before they expire. Private files are readable by their owner alone.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::files::{Folder, file_error, read_if_there};
use super::keys::{SigningKey, VerifyingKey, certified_key};
use super::signing::CertificateSigner;
use super::{Error, tls};
use crate::base::Clock;

const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * 24 * 3600);
const LEAF_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// A leaf with less than this left is made anew.
const RENEW_BEFORE: Duration = Duration::from_secs(60 * 24 * 3600);
const RENEW_CHECK: Duration = Duration::from_secs(12 * 3600);
/// Certificates begin a little in the past, for clients whose clocks are slow.
const BACKDATE: Duration = Duration::from_secs(300);

/// Where certificates live and what they are for.
#[derive(Clone, Debug, Default)]
pub struct PkiConfig {
    /// `--cert-dir`; `None` keeps everything in memory.
    pub directory: Option<PathBuf>,
    /// Names of the server beside localhost and the `kubernetes` service.
    pub names: Vec<String>,
    /// Addresses beside the loopback ones: the advertised one, the first of the service range.
    pub addresses: Vec<IpAddr>,
    /// `--client-ca-file`: authorities for client certificates beside our own.
    pub client_ca_file: Option<PathBuf>,
    /// `--service-account-signing-key-file`.
    pub signing_key_file: Option<PathBuf>,
    /// `--service-account-key-file`, given any number of times.
    pub key_files: Vec<PathBuf>,
}

/// A certificate with its key, as PEM texts.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// All keys and certificates of one server.
pub struct Pki {
    config: PkiConfig,
    authority: Arc<Authority>,
    front_proxy: Authority,
    serving: Arc<tls::Serving>,
    admin: watch::Sender<Arc<Identity>>,
    front_proxy_client: Identity,
    client_authorities: String,
    signing_key: Arc<SigningKey>,
    verifying_keys: Vec<VerifyingKey>,
}

/// A certificate authority that signs.
pub(super) struct Authority {
    pem: String,
    pub(super) der: CertificateDer<'static>,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

/// What a leaf is to be.
struct Leaf {
    file: &'static str,
    common_name: &'static str,
    organization: Option<&'static str>,
    usage: ExtendedKeyUsagePurpose,
    names: Vec<SanType>,
}

impl Pki {
    /// Reads what is there and makes what is missing or about to expire.
    ///
    /// # Errors
    /// When a file cannot be read or written, or an authority in the folder is not usable (never replaced, since
    /// others trust it).
    pub fn open(config: PkiConfig, now: Timestamp) -> Result<Self, Error> {
        let mut folder = Folder::open(config.directory.as_deref())?;
        let authority = Authority::open(&mut folder, ("ca", "kubernetes"), now)?;
        let front_proxy = Authority::open(&mut folder, ("front-proxy-ca", "front-proxy-ca"), now)?;
        let serving = leaf(&mut folder, &authority, serving_leaf(&config), now)?;
        let admin = leaf(&mut folder, &authority, ADMIN, now)?;
        let front_proxy_client = leaf(&mut folder, &front_proxy, FRONT_PROXY_CLIENT, now)?;
        let mut client_authorities = authority.pem.clone();
        if let Some(path) = &config.client_ca_file {
            client_authorities.push_str(&certificates_of(path)?);
        }
        let signing_key = Arc::new(signing_key(&config, &mut folder)?);
        folder.write()?;
        let verifying_keys = verifying_keys(&config, &signing_key)?;
        let serving = Arc::new(tls::Serving::new(certified(&serving)?));
        Ok(Self {
            config,
            authority: Arc::new(authority),
            front_proxy,
            serving,
            admin: watch::Sender::new(Arc::new(admin)),
            front_proxy_client,
            client_authorities,
            signing_key,
            verifying_keys,
        })
    }

    /// The authority of the cluster (PEM): what clients trust, and what kube-root-ca.crt holds.
    pub fn authority(&self) -> &str {
        &self.authority.pem
    }

    /// Signs what is requested with the authority of the cluster.
    pub fn certificate_signer(&self) -> CertificateSigner {
        CertificateSigner(Arc::clone(&self.authority))
    }

    /// The authorities that client certificates are held against (PEM): our own, then the user's.
    pub fn client_authorities(&self) -> &str {
        &self.client_authorities
    }

    /// The authority of the front proxy (PEM).
    pub fn front_proxy_authority(&self) -> &str {
        &self.front_proxy.pem
    }

    /// The client certificate with which the server calls aggregated API servers.
    pub fn front_proxy_client(&self) -> &Identity {
        &self.front_proxy_client
    }

    /// The administrator's client certificate: `kubernetes-admin` of `system:masters`.
    pub fn admin(&self) -> Arc<Identity> {
        self.admin.borrow().clone()
    }

    /// Tells when the administrator's certificate is renewed.
    pub fn admin_renewals(&self) -> watch::Receiver<Arc<Identity>> {
        self.admin.subscribe()
    }

    /// The key that signs ServiceAccount tokens.
    pub fn signing_key(&self) -> Arc<SigningKey> {
        self.signing_key.clone()
    }

    /// The keys that verify ServiceAccount tokens; the signing key's own is among them.
    pub fn verifying_keys(&self) -> &[VerifyingKey] {
        &self.verifying_keys
    }

    /// TLS for a listener. Renewed certificates are used by the same configuration.
    ///
    /// # Errors
    /// When the cryptography offers no common protocol.
    pub fn server_config(&self) -> Result<rustls::ServerConfig, Error> {
        tls::server_config(self.serving.clone())
    }

    /// Signs a client certificate for a user, valid for a leaf's life (simulated nodes, tests).
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn issue_client(&self, name: &str, organizations: &[&str], now: Timestamp) -> Result<Identity, Error> {
        let mut params = params(now, LEAF_LIFE);
        params.distinguished_name.push(DnType::CommonName, name);
        organizations.iter().for_each(|o| params.distinguished_name.push(DnType::OrganizationName, *o));
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.authority.sign(params)
    }

    /// Renews the serving certificate and the administrator's before they expire; runs until dropped.
    pub async fn keep_renewed(&self, clock: Arc<dyn Clock>) {
        loop {
            clock.sleep(RENEW_CHECK).await;
            match self.renewed(serving_leaf(&self.config), clock.now()).and_then(|identity| certified(&identity)) {
                Ok(certificate) => self.serving.replace(certificate),
                Err(error) => tracing::error!(%error, "the serving certificate could not be renewed"),
            }
            if self.authority.accepts(&self.admin(), &ADMIN, clock.now()) {
                continue;
            }
            match self.renewed(ADMIN, clock.now()) {
                Ok(admin) => drop(self.admin.send_replace(Arc::new(admin))),
                Err(error) => tracing::error!(%error, "the administrator's certificate could not be renewed"),
            }
        }
    }

    /// A leaf of the cluster's authority as it is, or made anew when it ends soon.
    fn renewed(&self, wished: Leaf, now: Timestamp) -> Result<Identity, Error> {
        let mut folder = Folder::open(self.config.directory.as_deref())?;
        let identity = leaf(&mut folder, &self.authority, wished, now)?;
        folder.write()?;
        Ok(identity)
    }
}

const ADMIN: Leaf = Leaf {
    file: "admin",
    common_name: "kubernetes-admin",
    organization: Some("system:masters"),
    usage: ExtendedKeyUsagePurpose::ClientAuth,
    names: Vec::new(),
};

const FRONT_PROXY_CLIENT: Leaf = Leaf {
    file: "front-proxy-client",
    common_name: "front-proxy-client",
    organization: None,
    usage: ExtendedKeyUsagePurpose::ClientAuth,
    names: Vec::new(),
};

const SERVICE_NAMES: [&str; 5] =
    ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

fn serving_leaf(config: &PkiConfig) -> Leaf {
    let mut dns: Vec<String> = SERVICE_NAMES.iter().map(|n| (*n).to_owned()).collect();
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    for name in &config.names {
        match name.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => dns.push(name.clone()),
        }
    }
    addresses.extend(&config.addresses);
    let mut seen = std::collections::BTreeSet::new();
    dns.retain(|name| seen.insert(name.clone()));
    let mut known = std::collections::BTreeSet::new();
    addresses.retain(|address| known.insert(*address));
    // A name that is not ASCII cannot stand in a certificate; clients reach such a host by another name.
    let dns = dns.into_iter().filter_map(|name| name.try_into().ok().map(SanType::DnsName));
    Leaf {
        file: "apiserver",
        common_name: "kube-apiserver",
        organization: None,
        usage: ExtendedKeyUsagePurpose::ServerAuth,
        names: dns.chain(addresses.into_iter().map(SanType::IpAddress)).collect(),
    }
}

impl Authority {
    fn open(folder: &mut Folder<'_>, (file, name): (&str, &str), now: Timestamp) -> Result<Self, Error> {
        if let Some(identity) = Self::stored(folder, file, now)? {
            return Self::from_identity(&identity);
        }
        let mut params = params(now, AUTHORITY_LIFE);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(Error::Certificate)?;
        let certificate = params.self_signed(&key).map_err(Error::Certificate)?;
        let identity = Identity { certificate: certificate.pem(), key: key.serialize_pem() };
        folder.put_identity(file, &identity);
        Self::from_identity(&identity)
    }

    fn stored(folder: &Folder<'_>, file: &str, now: Timestamp) -> Result<Option<Identity>, Error> {
        let Some(path) = folder.at(&format!("{file}.crt")) else { return Ok(None) };
        let unusable = |why: &str| Error::Unusable { path: path.clone(), why: why.to_owned() };
        let (certificate, key) = folder.read(file)?;
        let (certificate, key) = match (certificate, key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return Err(unusable("its key is missing; put it back or remove the certificate")),
            (None, Some(key)) => {
                let public = key_pair(&key).ok().map(|key| key.subject_public_key_info());
                let found = folder.finish(file, |draft| public.is_some() && certified_key(draft) == public)?;
                let why = || unusable("it is missing, but its key is there; put it back or remove the key");
                (found.ok_or_else(why)?, key)
            }
        };
        let no_certificate = || unusable("it is no certificate");
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| no_certificate())?;
        let parsed = parse(&der).ok_or_else(no_certificate)?;
        let key_pair = key_pair(&key).map_err(|_| unusable("its key cannot be read"))?;
        if parsed.public_key().raw != key_pair.subject_public_key_info() {
            return Err(unusable("it does not belong to its key"));
        }
        if parsed.validity().not_after.timestamp() <= now.as_second() {
            return Err(unusable("it has expired; remove it and everything in its folder to begin anew"));
        }
        Ok(Some(Identity { certificate, key }))
    }

    fn from_identity(identity: &Identity) -> Result<Self, Error> {
        let der = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).map_err(|_| Error::NoKey)?;
        let issuer = Issuer::from_ca_cert_der(&der, key_pair(&identity.key)?).map_err(Error::Certificate)?;
        Ok(Self { pem: identity.certificate.clone(), der, issuer })
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Identity, Error> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        let key = KeyPair::generate().map_err(Error::Certificate)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(Error::Certificate)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Whether a stored leaf is ours, as wished and has long enough to live.
    fn accepts(&self, identity: &Identity, wished: &Leaf, now: Timestamp) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(identity.certificate.as_bytes()) else { return false };
        let (Some(parsed), Some(own), Ok(key)) = (parse(&der), parse(&self.der), key_pair(&identity.key)) else {
            return false;
        };
        let names = parsed.subject_alternative_name().ok().flatten();
        let has = |wish: &SanType| {
            names.as_ref().is_some_and(|names| names.value.general_names.iter().any(|name| same_name(name, wish)))
        };
        let until = Timestamp::from_second(parsed.validity().not_after.timestamp()).unwrap_or(Timestamp::MIN);
        parsed.public_key().raw == key.subject_public_key_info()
            && parsed.verify_signature(Some(own.public_key())).is_ok()
            && until > now + RENEW_BEFORE
            && wished.names.iter().all(has)
    }
}

fn same_name(name: &GeneralName<'_>, wish: &SanType) -> bool {
    match (name, wish) {
        (GeneralName::DNSName(name), SanType::DnsName(wish)) => *name == wish.as_str(),
        (GeneralName::IPAddress(bytes), SanType::IpAddress(IpAddr::V4(wish))) => **bytes == wish.octets(),
        (GeneralName::IPAddress(bytes), SanType::IpAddress(IpAddr::V6(wish))) => **bytes == wish.octets(),
        _ => false,
    }
}

/// A leaf as it is in the folder, or a new one that is put there.
fn leaf(folder: &mut Folder<'_>, authority: &Authority, wished: Leaf, now: Timestamp) -> Result<Identity, Error> {
    if let (Some(certificate), Some(key)) = folder.read(wished.file)? {
        let identity = Identity { certificate, key };
        if authority.accepts(&identity, &wished, now) {
            return Ok(identity);
        }
    }
    let mut params = params(now, LEAF_LIFE);
    params.distinguished_name.push(DnType::CommonName, wished.common_name);
    if let Some(organization) = wished.organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.extended_key_usages.push(wished.usage);
    params.subject_alt_names = wished.names;
    let identity = authority.sign(params)?;
    folder.put_identity(wished.file, &identity);
    Ok(identity)
}

fn params(now: Timestamp, life: Duration) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = epoch + now.saturating_sub(BACKDATE);
    params.not_after = epoch + now + life;
    params
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    x509_parser::parse_x509_certificate(der).ok().map(|(_, certificate)| certificate)
}

fn key_pair(pem: &str) -> Result<KeyPair, Error> {
    super::keys::to_pkcs8(pem.as_bytes())
        .ok_or(Error::NoKey)
        .and_then(|der| KeyPair::try_from(der).map_err(Error::Certificate))
}

fn certified(identity: &Identity) -> Result<CertifiedKey, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|_| Error::NoKey)?;
    CertifiedKey::from_der(chain.map_err(|_| Error::NoKey)?, key, &tls::provider()).map_err(Error::Tls)
}

fn certificates_of(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(file_error(path, "read"))?;
    let count = CertificateDer::pem_slice_iter(text.as_bytes()).filter(Result::is_ok).count();
    if count == 0 {
        return Err(Error::Unusable { path: path.to_owned(), why: "it holds no certificate".to_owned() });
    }
    Ok(text)
}

fn signing_key(config: &PkiConfig, folder: &mut Folder<'_>) -> Result<SigningKey, Error> {
    if let Some(path) = &config.signing_key_file {
        let pem = fs::read(path).map_err(file_error(path, "read"))?;
        return SigningKey::from_pem(&pem)
            .map_err(|error| Error::Unusable { path: path.clone(), why: error.to_string() });
    }
    let Some(path) = folder.at("sa.key") else { return SigningKey::generate().map(|(key, _)| key) };
    if let Some(pem) = read_if_there(&path)? {
        return SigningKey::from_pem(pem.as_bytes()).map_err(|error| Error::Unusable { path, why: error.to_string() });
    }
    let (key, pem) = SigningKey::generate()?;
    folder.put("sa.key", &pem, 0o600);
    folder.put("sa.pub", &key.public().to_pem(), 0o644);
    Ok(key)
}

fn verifying_keys(config: &PkiConfig, signing: &SigningKey) -> Result<Vec<VerifyingKey>, Error> {
    let mut keys = Vec::new();
    for path in &config.key_files {
        let pem = fs::read(path).map_err(file_error(path, "read"))?;
        let found = VerifyingKey::all_from_pem(&pem)
            .map_err(|error| Error::Unusable { path: path.clone(), why: error.to_string() })?;
        keys.extend(found);
    }
    if !keys.iter().any(|key| key.id == signing.public().id) {
        keys.push(signing.public().clone());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(directory: &Path) -> PkiConfig {
        PkiConfig {
            directory: Some(directory.to_owned()),
            names: vec!["box".to_owned(), "localhost".to_owned()],
            addresses: vec![[10, 96, 0, 1].into()],
            ..PkiConfig::default()
        }
    }

    fn now() -> Timestamp {
        "2026-11-21T00:00:00Z".parse().unwrap()
    }

    fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
        let mut all: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|e| e.unwrap())
            .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_second_start_uses_the_files_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = Pki::open(config(folder.path()), now()).unwrap();
        let before = files(folder.path());
        let second = Pki::open(config(folder.path()), now()).unwrap();
        assert_eq!(first.authority(), second.authority());
        assert_eq!(before, files(folder.path()));
        let names: Vec<_> = before.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "admin.crt",
            "admin.key",
            "apiserver.crt",
            "apiserver.key",
            "ca.crt",
            "ca.key",
            "front-proxy-ca.crt",
            "front-proxy-ca.key",
            "front-proxy-client.crt",
            "front-proxy-client.key",
            "sa.key",
            "sa.pub",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn private_files_are_readable_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        Pki::open(config(folder.path()), now()).unwrap();
        for (name, _) in files(folder.path()).iter().filter(|(name, _)| name.ends_with(".key")) {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn leaves_are_renewed_before_they_expire_and_authorities_are_not() {
        let folder = tempfile::tempdir().unwrap();
        Pki::open(config(folder.path()), now()).unwrap();
        let before = files(folder.path());
        Pki::open(config(folder.path()), now() + Duration::from_secs(330 * 24 * 3600)).unwrap();
        let changed: Vec<_> = files(folder.path())
            .into_iter()
            .zip(before)
            .filter(|(after, before)| after != before && after.0.ends_with(".crt"))
            .map(|(after, _)| after.0)
            .collect();
        assert_eq!(changed, ["admin.crt", "apiserver.crt", "front-proxy-client.crt"]);
    }

    #[tokio::test]
    async fn the_administrator_gets_a_new_certificate_in_time_while_the_server_runs() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(crate::base::ManualClock::new(now()));
        let pki = Pki::open(config(folder.path()), clock.now()).unwrap();
        let (first, mut renewals) = (pki.admin(), pki.admin_renewals());
        let until = |identity: &Identity| {
            let der = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
            parse(&der).unwrap().validity().not_after.timestamp()
        };
        let mut renewing = std::pin::pin!(pki.keep_renewed(clock.clone()));
        let mut turn = |days: u64| {
            assert!(futures::FutureExt::now_or_never(renewing.as_mut()).is_none());
            clock.advance(Duration::from_secs(days * 24 * 3600));
            assert!(futures::FutureExt::now_or_never(renewing.as_mut()).is_none());
        };
        turn(304);
        assert!(!renewals.has_changed().unwrap());
        turn(2);
        assert!(renewals.has_changed().unwrap());
        let renewed = renewals.borrow_and_update().clone();
        assert_eq!(until(&renewed) - until(&first), 306 * 24 * 3600);
        assert_eq!(fs::read_to_string(folder.path().join("admin.crt")).unwrap(), renewed.certificate);
        turn(1);
        assert!(!renewals.has_changed().unwrap());
    }

    #[test]
    fn a_new_address_makes_a_new_serving_certificate_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        Pki::open(config(folder.path()), now()).unwrap();
        let mut wider = config(folder.path());
        wider.addresses.push([192, 168, 7, 7].into());
        let before = fs::read(folder.path().join("apiserver.crt")).unwrap();
        Pki::open(wider.clone(), now()).unwrap();
        let after = fs::read(folder.path().join("apiserver.crt")).unwrap();
        assert_ne!(before, after);
        let der = CertificateDer::from_pem_slice(&after).unwrap();
        let parsed = parse(&der).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        let wished = serving_leaf(&wider).names;
        assert_eq!(names.value.general_names.len(), wished.len());
        assert!(wished.iter().all(|w| names.value.general_names.iter().any(|n| same_name(n, w))));
    }

    #[test]
    fn an_authority_without_its_key_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        Pki::open(config(folder.path()), now()).unwrap();
        fs::remove_file(folder.path().join("ca.key")).unwrap();
        let error = Pki::open(config(folder.path()), now()).err().unwrap().to_string();
        assert!(error.ends_with("its key is missing; put it back or remove the certificate"), "{error}");
        assert!(folder.path().join("ca.crt").exists());
    }

    #[test]
    fn a_first_start_that_was_ended_between_a_key_and_its_certificate_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        Pki::open(config(folder.path()), now()).unwrap();
        let at = |name: &str| folder.path().join(name);
        let authority = fs::read(at("ca.crt")).unwrap();
        fs::rename(at("ca.crt"), at("ca.crt.1f.new")).unwrap();
        fs::rename(at("apiserver.crt"), at("ca.crt.0e.new")).unwrap();
        Pki::open(config(folder.path()), now()).unwrap();
        assert_eq!(fs::read(at("ca.crt")).unwrap(), authority);
        fs::remove_file(at("ca.crt")).unwrap();
        assert!(Pki::open(config(folder.path()), now()).is_err(), "what is lost is not made anew");
    }

    #[test]
    fn nothing_is_written_without_a_folder() {
        let pki = Pki::open(PkiConfig::default(), now()).unwrap();
        assert!(pki.server_config().is_ok() && pki.verifying_keys().len() == 1);
    }

    #[test]
    fn given_key_files_verify_and_the_given_key_signs() {
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/auth/testdata");
        let config = PkiConfig {
            signing_key_file: Some(keys.join("rsa.pem")),
            key_files: vec![keys.join("rsa.pub"), keys.join("ec.pem")],
            ..PkiConfig::default()
        };
        let pki = Pki::open(config, now()).unwrap();
        assert_eq!(pki.verifying_keys().len(), 2);
        assert_eq!(pki.signing_key().public().id, pki.verifying_keys()[0].id);
    }
}
