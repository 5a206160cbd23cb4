#include "rootfs/secrets.h"

namespace beam::rootfs {

const std::vector<std::string_view>& secret_places() {
  static const std::vector<std::string_view> kPlaces = {
      // ssh, gpg, passwords
      ".ssh",
      ".gnupg",
      ".password-store",
      ".local/share/keyrings",
      ".local/share/kwalletd",
      ".kde/share/apps/kwallet",
      ".config/keepassxc",
      ".config/Bitwarden",
      ".config/1Password",
      ".pki",
      ".netrc",
      ".authinfo",
      ".authinfo.gpg",
      ".pgpass",
      ".my.cnf",
      ".vault-token",
      // git and its hosts
      ".git-credentials",
      ".config/git/credentials",
      ".config/gh",
      ".config/hub",
      ".config/glab-cli",
      // clouds and clusters
      ".aws",
      ".azure",
      ".config/gcloud",
      ".config/doctl",
      ".config/hcloud",
      ".config/rclone",
      ".oci",
      ".s3cfg",
      ".boto",
      ".terraform.d/credentials.tfrc.json",
      ".terraformrc",
      ".kube",
      ".config/helm",
      // registries of images and packages
      ".docker",
      ".config/containers/auth.json",
      ".npmrc",
      ".yarnrc.yml",
      ".pypirc",
      ".config/pip/pip.conf",
      ".cargo/credentials",
      ".cargo/credentials.toml",
      ".gem/credentials",
      ".m2/settings.xml",
      ".m2/settings-security.xml",
      ".gradle/gradle.properties",
      ".nuget/NuGet/NuGet.Config",
      ".composer/auth.json",
      ".config/composer/auth.json",
      // browsers and mail
      ".mozilla",
      ".thunderbird",
      ".config/google-chrome",
      ".config/chromium",
      ".config/BraveSoftware",
      ".config/microsoft-edge",
      ".config/vivaldi",
      ".config/opera",
      "snap/firefox",
      "snap/chromium",
      ".var/app/org.mozilla.firefox",
      ".var/app/com.google.Chrome",
      ".config/evolution",
      ".mutt",
      // messengers
      ".config/Signal",
      ".config/Slack",
      ".config/discord",
      ".local/share/TelegramDesktop",
  };
  return kPlaces;
}

std::vector<std::string> secrets_of(const std::string& home) {
  std::vector<std::string> places;
  if (!home.starts_with('/') || home == "/") {
    return places;
  }
  places.reserve(secret_places().size());
  for (const auto place : secret_places()) {
    places.push_back(home + "/" + std::string(place));
  }
  return places;
}

}  // namespace beam::rootfs
