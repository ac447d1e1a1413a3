"""What `{"include": "defaults"}` stands for: the names that work on a computer commonly needs. Data.

Kept short on purpose: each name here is a place where a program in a box can leave what it read.
A name stands for itself only; one that begins with `*.` stands for all below it, not for itself.
"""

DEFAULTS = "defaults"

_CODE = (
    "github.com",
    "*.github.com",
    "*.githubusercontent.com",
    "*.githubassets.com",
    "ghcr.io",
    "*.ghcr.io",
    "gitlab.com",
    "*.gitlab.com",
    "bitbucket.org",
    "*.bitbucket.org",
)

_PACKAGES = (
    # JavaScript
    "registry.npmjs.org",
    "*.npmjs.org",
    "npmjs.com",
    "*.npmjs.com",
    "registry.yarnpkg.com",
    "nodejs.org",
    "*.nodejs.org",
    "jsr.io",
    "*.jsr.io",
    "bun.sh",
    "deno.land",
    "*.deno.land",
    # Python
    "pypi.org",
    "*.pypi.org",
    "files.pythonhosted.org",
    "*.pythonhosted.org",
    "astral.sh",
    "*.astral.sh",
    "conda.anaconda.org",
    "repo.anaconda.com",
    # Rust, Go, Ruby, Java, PHP
    "crates.io",
    "*.crates.io",
    "*.rust-lang.org",
    "sh.rustup.rs",
    "go.dev",
    "proxy.golang.org",
    "sum.golang.org",
    "rubygems.org",
    "*.rubygems.org",
    "repo.maven.apache.org",
    "repo1.maven.org",
    "packagist.org",
    "*.packagist.org",
)

_IMAGES = (
    "docker.io",
    "*.docker.io",
    "docker.com",
    "*.docker.com",
    "production.cloudflare.docker.com",
    "quay.io",
    "*.quay.io",
)

_DISTRIBUTIONS = (
    "deb.debian.org",
    "security.debian.org",
    "ftp.debian.org",
    "cdn-fastly.deb.debian.org",
    "snapshot.debian.org",
    "keyring.debian.org",
    "archive.ubuntu.com",
    "*.archive.ubuntu.com",
    "security.ubuntu.com",
    "ports.ubuntu.com",
    "keyserver.ubuntu.com",
    "ppa.launchpadcontent.net",
    "dl-cdn.alpinelinux.org",
)

_MODELS = (
    "api.anthropic.com",
    "claude.ai",
    "platform.claude.com",
    "statsig.anthropic.com",
    "api.openai.com",
    "auth.openai.com",
    "chatgpt.com",
    "generativelanguage.googleapis.com",
    "oauth2.googleapis.com",
    "api.mistral.ai",
    "api.groq.com",
    "api.x.ai",
    "api.deepseek.com",
    "api.cohere.com",
    "api.perplexity.ai",
    "api.together.xyz",
    "api.fireworks.ai",
    "openrouter.ai",
    "*.openrouter.ai",
    "huggingface.co",
    "*.huggingface.co",
    "*.hf.co",
    "cursor.com",
    "*.cursor.sh",
)

ALLOWED = _CODE + _PACKAGES + _IMAGES + _DISTRIBUTIONS + _MODELS

# Where names are answered over HTTPS: who may reach one of these asks past the policy. It would
# gain little, as only addresses that our own server gave out can be reached, but what it asks for
# is then in nobody's log. A rule that allows one of them by its exact name goes first.
DENIED = (
    "use-application-dns.net",  # by which browsers ask whether they may
    "cloudflare-dns.com",
    "*.cloudflare-dns.com",
    "one.one.one.one",
    "dns.google",
    "*.dns.google",
    "dns.google.com",
    "dns64.dns.google",
    "dns.quad9.net",
    "*.quad9.net",
    "doh.opendns.com",
    "doh.familyshield.opendns.com",
    "dns.umbrella.com",
    "dns.nextdns.io",
    "*.dns.nextdns.io",
    "doh.cleanbrowsing.org",
    "dns.adguard-dns.com",
    "*.adguard-dns.com",
    "dns.adguard.com",
    "freedns.controld.com",
    "dns.controld.com",
    "*.dns.controld.com",
    "dns.mullvad.net",
    "*.dns.mullvad.net",
    "doh.dns.sb",
    "dns.alidns.com",
    "doh.pub",
    "dns0.eu",
    "*.dns0.eu",
    "doh.applied-privacy.net",
    "doh.libredns.gr",
    "dns.switch.ch",
    "mozilla.cloudflare-dns.com",
    "chrome.cloudflare-dns.com",
    "odoh.cloudflare-dns.com",
    "doh.xfinity.com",
)
