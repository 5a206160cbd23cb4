#include "runtime/cluster.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "runtime/file_io.h"
#include "runtime/json.h"
#include "runtime/paths.h"

namespace beam::runtime {
namespace {

constexpr std::size_t kLargestFile = 1U << 20U;
constexpr long kDay = 24L * 60 * 60;
constexpr long kValidity = 3650 * kDay;
constexpr const char* kMembers = "/workstations.json";

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;

Error failed(const char* what) {
  return {0, std::string("make the keys of a cluster: ") + what + " failed"};
}

bool add_extension(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free> extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Signed by `issuer_key`; by itself where `issuer` is null.
Result<Certificate> make_certificate(EVP_PKEY* key, const std::string& name, X509* issuer, EVP_PKEY* issuer_key) {
  Certificate certificate(X509_new());
  unsigned char serial[16];
  if (certificate == nullptr || RAND_bytes(serial, sizeof serial) != 1) {
    return failed("a random number");
  }
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  const bool numbered = number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509* const signer = issuer != nullptr ? issuer : certificate.get();
  const bool made = numbered && X509_set_version(certificate.get(), 2) == 1 &&
                    // Clocks of workstations differ.
                    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kDay) != nullptr &&
                    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kValidity) != nullptr &&
                    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0) == 1 &&
                    X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer)) == 1 &&
                    X509_set_pubkey(certificate.get(), key) == 1 &&
                    add_extension(certificate.get(), signer, NID_basic_constraints,
                                  issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
                    add_extension(certificate.get(), signer, NID_key_usage,
                                  issuer == nullptr ? "critical,keyCertSign" : "critical,digitalSignature") &&
                    X509_sign(certificate.get(), issuer_key, EVP_sha256()) > 0;
  if (!made) {
    return failed("a certificate");
  }
  return certificate;
}

template <typename Write>
Result<std::string> pem(Write write) {
  const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || write(bio.get()) != 1) {
    return failed("PEM");
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

}  // namespace

struct Authority::Keys {
  Key key;
  Certificate certificate;
};

Authority::Authority(Authority&& other) noexcept : keys_(std::exchange(other.keys_, nullptr)) {}
Authority::~Authority() {
  delete keys_;
}

Result<Authority> Authority::make() {
  auto keys = std::make_unique<Keys>();
  keys->key = Key(EVP_EC_gen("P-256"));
  if (keys->key == nullptr) {
    return failed("a key");
  }
  BEAM_TRY_ASSIGN(keys->certificate, make_certificate(keys->key.get(), "beam cluster", nullptr, keys->key.get()));
  return Authority(keys.release());
}

Result<> Authority::issue(const Cluster& cluster) const {
  const Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) {
    return failed("a key");
  }
  BEAM_TRY_ASSIGN(const Certificate certificate,
                  make_certificate(key.get(), cluster.self, keys_->certificate.get(), keys_->key.get()));
  BEAM_TRY_ASSIGN(const std::string key_text, pem([&](BIO* bio) {
                    return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
                  }));
  BEAM_TRY_ASSIGN(const std::string text, pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); }));
  BEAM_TRY_ASSIGN(const std::string authority,
                  pem([&](BIO* bio) { return PEM_write_bio_X509(bio, keys_->certificate.get()); }));
  BEAM_TRY(make_private_directory(cluster.directory));
  BEAM_TRY(replace_file(cluster.key_file(), key_text));
  BEAM_TRY(replace_file(cluster.certificate_file(), text));
  return replace_file(cluster.authority_file(), authority);
}

std::string cluster_directory(const std::string& home) {
  return home + "/cluster";
}

Result<Cluster> Cluster::open(const std::string& home) {
  Cluster cluster;
  cluster.directory = cluster_directory(home);
  BEAM_TRY_ASSIGN(const std::string text, read_file(cluster.directory + kMembers, kLargestFile));
  try {
    const Json json = Json::parse(text);
    cluster.self = json.at("self").get<std::string>();
    for (const Json& entry : json.at("workstations")) {
      cluster.workstations.push_back({entry.at("name").get<std::string>(), entry.at("address").get<std::string>()});
    }
  } catch (const Json::exception&) {
    return Error(0, cluster.directory + kMembers + ": is no list of workstations; make the cluster anew");
  }
  return cluster;
}

Result<> Cluster::save() const {
  BEAM_TRY(make_private_directory(directory));
  Json list = Json::array();
  for (const Workstation& each : workstations) {
    list.push_back(Json{{"name", each.name}, {"address", each.address}});
  }
  return replace_file(directory + kMembers, dump(Json{{"self", self}, {"workstations", list}}, 2) + "\n");
}

const Workstation* Cluster::find(const std::string& name) const {
  const auto found = std::find_if(workstations.begin(), workstations.end(),
                                  [&](const Workstation& workstation) { return workstation.name == name; });
  return found != workstations.end() ? &*found : nullptr;
}

}  // namespace beam::runtime
