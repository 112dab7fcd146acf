-- The first shape. One text for SQLite and PostgreSQL: UUID, BIGINT, INTEGER, BOOLEAN, TEXT and BYTEA only.
-- Moments are BIGINT, milliseconds since the epoch. Words are slipway-types' own. Columns named *_sealed hold
-- what slipway-vault sealed for exactly that table, column and row. JSON is TEXT: nothing is searched inside it.

-- ── Counters ────────────────────────────────────────────────────────────────────────────────────
-- 'seq' is the one order of the installation (order.md).
CREATE TABLE counters (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('seq', 0);
-- Locked by whoever changes the shape of the queue (admits, ends, re-queues): see builds.rs.
INSERT INTO counters (name, value) VALUES ('queue', 0);

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- ── People and rights ───────────────────────────────────────────────────────────────────────────
CREATE TABLE users (
    id            UUID    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    display_name  TEXT    NOT NULL,
    email         TEXT,
    password_hash TEXT    NOT NULL,
    is_admin      BOOLEAN NOT NULL,
    created_at    BIGINT  NOT NULL,
    disabled_at   BIGINT
);

CREATE TABLE sessions (
    id           UUID   NOT NULL PRIMARY KEY,
    token_hash   TEXT   NOT NULL UNIQUE,
    user_id      UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    csrf_token   TEXT   NOT NULL,
    user_agent   TEXT   NOT NULL,
    address      TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE access_tokens (
    id           UUID   NOT NULL PRIMARY KEY,
    user_id      UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT   NOT NULL,
    token_hash   TEXT   NOT NULL UNIQUE,
    scope        TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX access_tokens_by_user ON access_tokens (user_id);

CREATE TABLE plans (
    name         TEXT    NOT NULL PRIMARY KEY,
    concurrency  INTEGER NOT NULL,
    pending      INTEGER NOT NULL,
    time_limit_s BIGINT  NOT NULL,
    image_bytes  BIGINT  NOT NULL,
    log_bytes    BIGINT  NOT NULL,
    autobuild    BOOLEAN NOT NULL
);
INSERT INTO plans (name, concurrency, pending, time_limit_s, image_bytes, log_bytes, autobuild) VALUES
    ('standard', 5, 1000, 14400, 10000000000, 67108864, TRUE),
    ('team', 15, 1000, 14400, 10000000000, 67108864, TRUE),
    ('none', 0, 0, 14400, 10000000000, 67108864, FALSE);

-- A user's own space has user_id; an organization's has not.
CREATE TABLE namespaces (
    id         UUID   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL UNIQUE,
    user_id    UUID   UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    plan       TEXT   NOT NULL REFERENCES plans (name),
    created_at BIGINT NOT NULL
);

-- role: owner, member.
CREATE TABLE members (
    namespace_id UUID   NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    user_id      UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (namespace_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);

CREATE TABLE teams (
    id           UUID   NOT NULL PRIMARY KEY,
    namespace_id UUID   NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    name         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    UNIQUE (namespace_id, name)
);

CREATE TABLE team_members (
    team_id UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (team_id, user_id)
);

-- ── Forges, credentials, links ──────────────────────────────────────────────────────────────────
CREATE TABLE forges (
    id           UUID   NOT NULL PRIMARY KEY,
    kind         TEXT   NOT NULL,
    name         TEXT   NOT NULL UNIQUE,
    display_name TEXT   NOT NULL,
    web_url      TEXT   NOT NULL,
    api_url      TEXT   NOT NULL,
    known_hosts  TEXT   NOT NULL,
    created_at   BIGINT NOT NULL
);

-- A forge may carry an OAuth client and a GitHub App. kind: oauth, app. What begins with app_ is an App's, and so are
-- the random path and the secret of its one webhook, and its private key.
-- rejected: deliveries to a GitHub App's webhook whose signature was wrong, and when the last one came.
CREATE TABLE forge_clients (
    id                    UUID   NOT NULL PRIMARY KEY,
    forge_id              UUID   NOT NULL REFERENCES forges (id),
    kind                  TEXT   NOT NULL,
    client_id             TEXT   NOT NULL,
    client_secret_sealed  TEXT   NOT NULL,
    app_id                TEXT,
    app_page              TEXT,
    hook_path             TEXT   UNIQUE,
    private_key_sealed    TEXT,
    webhook_secret_sealed TEXT,
    rejected              BIGINT NOT NULL,
    rejected_at           BIGINT,
    created_at            BIGINT NOT NULL,
    UNIQUE (forge_id, kind)
);

-- The single-use `state` of a GitHub App's manifest, until it comes back with a code.
CREATE TABLE app_attempts (
    state_hash TEXT   NOT NULL PRIMARY KEY,
    session_id UUID   NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    forge_id   UUID   NOT NULL REFERENCES forges (id) ON DELETE CASCADE,
    hook_path  TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);

-- One per provider account and client, shared by its links. The provider's account id is the identity; logins are renamed.
CREATE TABLE credentials (
    id                   UUID   NOT NULL PRIMARY KEY,
    forge_client_id      UUID   NOT NULL REFERENCES forge_clients (id),
    account_id           TEXT   NOT NULL,
    login                TEXT   NOT NULL,
    avatar_url           TEXT,
    scopes               TEXT   NOT NULL,
    access_token_sealed  TEXT   NOT NULL,
    refresh_token_sealed TEXT,
    expires_at           BIGINT,
    obtained_at          BIGINT NOT NULL,
    -- Until when one process has the refreshing of these tokens for itself, by the database's clock.
    refreshing_until     BIGINT,
    verified_at          BIGINT NOT NULL,
    UNIQUE (forge_client_id, account_id)
);

-- credential_id is empty once the link is taken apart; the row stays for the ledger. next_check_at: when the health
-- loop asks about it again; health_until: how long a provider has us wait.
CREATE TABLE links (
    id            UUID   NOT NULL PRIMARY KEY,
    namespace_id  UUID   NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    forge_id      UUID   NOT NULL REFERENCES forges (id),
    credential_id UUID   REFERENCES credentials (id),
    account_id    TEXT   NOT NULL,
    login         TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    health        TEXT   NOT NULL,
    health_reason TEXT,
    health_detail TEXT,
    health_since  BIGINT,
    health_until  BIGINT,
    next_check_at BIGINT NOT NULL,
    linked_by     UUID   REFERENCES users (id) ON DELETE SET NULL,
    linked_at     BIGINT NOT NULL,
    verified_at   BIGINT,
    ended_at      BIGINT
);
CREATE UNIQUE INDEX links_one_per_forge ON links (namespace_id, forge_id) WHERE state = 'linked';
CREATE INDEX links_by_credential ON links (credential_id);
CREATE INDEX links_by_account ON links (forge_id, account_id) WHERE state = 'linked';
CREATE INDEX links_to_check ON links (next_check_at) WHERE state = 'linked';

-- The single-use `state` of an authorization, and, while another account than before waits for a person's
-- yes, what the exchange gave.
CREATE TABLE link_attempts (
    state_hash           TEXT   NOT NULL PRIMARY KEY,
    -- Empty once the browser signed out: nobody can go on then, and what the attempt holds is given back.
    session_id           UUID   REFERENCES sessions (id) ON DELETE SET NULL,
    user_id              UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    namespace_id         UUID   NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    forge_client_id      UUID   NOT NULL REFERENCES forge_clients (id) ON DELETE CASCADE,
    pkce_verifier_sealed TEXT,
    grant_sealed         TEXT,
    created_at           BIGINT NOT NULL,
    expires_at           BIGINT NOT NULL,
    used_at              BIGINT
);
CREATE INDEX link_attempts_by_expiry ON link_attempts (expires_at);

-- Tokens that Slipway has and does not need, until they are given back to the provider.
CREATE TABLE surplus_tokens (
    id                  UUID   NOT NULL PRIMARY KEY,
    forge_client_id     UUID   NOT NULL REFERENCES forge_clients (id) ON DELETE CASCADE,
    -- The credential it was replaced in: deploy keys that it made are made anew there first.
    replaced_in         UUID   REFERENCES credentials (id) ON DELETE SET NULL,
    access_token_sealed TEXT   NOT NULL,
    created_at          BIGINT NOT NULL
);

-- Of links taken apart whose access only the person can end at the provider: the refresh token that shows whether they
-- have. It is there while state is pending or granted, and until kept_until at the latest; the other states (gone,
-- unproven, forgotten, lapsed, linked_again) are without one. asking_until: until when one process has the asking for
-- itself, by the database's clock. doubtful: a call that was never answered may have spent the token.
CREATE TABLE access_proofs (
    link_id              UUID    NOT NULL PRIMARY KEY REFERENCES links (id) ON DELETE CASCADE,
    forge_client_id      UUID    NOT NULL REFERENCES forge_clients (id),
    account_id           TEXT    NOT NULL,
    refresh_token_sealed TEXT,
    state                TEXT    NOT NULL,
    doubtful             BOOLEAN NOT NULL,
    asking_until         BIGINT,
    checked_at           BIGINT,
    kept_until           BIGINT  NOT NULL,
    since                BIGINT  NOT NULL
);
CREATE INDEX access_proofs_of_account ON access_proofs (forge_client_id, account_id);

-- What a link's account may reach: GitHub's organizations, Bitbucket's workspaces; for a GitHub App the accounts where
-- it is installed, with the installation (selection: all, selected), as the linked person's own token showed them.
CREATE TABLE link_owners (
    link_id         UUID   NOT NULL REFERENCES links (id) ON DELETE CASCADE,
    owner_id        TEXT   NOT NULL,
    name            TEXT   NOT NULL,
    role            TEXT   NOT NULL,
    access          TEXT   NOT NULL,
    detail          TEXT,
    installation_id TEXT,
    selection       TEXT,
    settings_url    TEXT,
    checked_at      BIGINT NOT NULL,
    PRIMARY KEY (link_id, owner_id)
);
CREATE INDEX link_owners_by_installation ON link_owners (installation_id) WHERE installation_id IS NOT NULL;

-- ── Source repositories, what we made there, their heads ────────────────────────────────────────
-- Per namespace, so that nobody's delivery or secret speaks for another. state: present, gone, unreachable; reason says
-- why not present. checked_at: when hook and key were last read back.
CREATE TABLE source_repositories (
    id             UUID    NOT NULL PRIMARY KEY,
    namespace_id   UUID    NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    forge_id       UUID    NOT NULL REFERENCES forges (id),
    provider_id    TEXT    NOT NULL,
    owner          TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    private        BOOLEAN NOT NULL,
    default_branch TEXT    NOT NULL,
    web_url        TEXT    NOT NULL,
    clone_ssh      TEXT    NOT NULL,
    clone_https    TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    reason         TEXT,
    detail         TEXT,
    baselined_at   BIGINT,
    compare_at     BIGINT,
    comparing_until BIGINT,
    reconciled_at  BIGINT,
    checked_at     BIGINT,
    created_at     BIGINT  NOT NULL,
    UNIQUE (namespace_id, forge_id, provider_id)
);

-- Written before the call that makes it true. A hook's path is random and is only ever an address, never proof. reason:
-- what is wrong with it, also while it is active. repaired_at: when a repair was last begun.
CREATE TABLE provider_resources (
    id                     UUID    NOT NULL PRIMARY KEY,
    source_id              UUID    NOT NULL REFERENCES source_repositories (id) ON DELETE CASCADE,
    link_id                UUID    NOT NULL REFERENCES links (id),
    kind                   TEXT    NOT NULL,
    state                  TEXT    NOT NULL,
    remote_id              TEXT,
    hook_path              TEXT    UNIQUE,
    secret_sealed          TEXT,
    previous_secret_sealed TEXT,
    previous_until         BIGINT,
    rotation_refused       TEXT,
    public_key             TEXT,
    private_key_sealed     TEXT,
    reason                 TEXT,
    detail                 TEXT,
    rejected               BIGINT  NOT NULL,
    rejected_at            BIGINT,
    repaired_at            BIGINT,
    created_at             BIGINT  NOT NULL,
    settled_at             BIGINT
);
CREATE UNIQUE INDEX provider_resources_one_of_a_kind ON provider_resources (source_id, link_id, kind)
    WHERE state IN ('creating', 'active', 'failed');
CREATE INDEX provider_resources_by_link ON provider_resources (link_id);

-- Deliveries that failed and were asked for again, by the provider's id: late when they come. hook_id is a webhook's of
-- provider_resources, or that of the GitHub App among forge_clients whose one webhook it is.
CREATE TABLE redeliveries (
    hook_id   UUID   NOT NULL,
    remote_id TEXT   NOT NULL,
    wanted_at BIGINT NOT NULL,
    asked_at  BIGINT,
    PRIMARY KEY (hook_id, remote_id)
);

-- What Slipway knows each branch and tag to point at; sha is empty once the ref was deleted.
CREATE TABLE ref_heads (
    source_id  UUID   NOT NULL REFERENCES source_repositories (id) ON DELETE CASCADE,
    ref        TEXT   NOT NULL,
    sha        TEXT,
    seq        BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (source_id, ref)
);

CREATE TABLE pull_request_heads (
    source_id       UUID    NOT NULL REFERENCES source_repositories (id) ON DELETE CASCADE,
    number          BIGINT  NOT NULL,
    sha             TEXT    NOT NULL,
    head_ref        TEXT    NOT NULL,
    head_repository TEXT    NOT NULL,
    base_ref        TEXT    NOT NULL,
    internal        BOOLEAN NOT NULL,
    title           TEXT    NOT NULL,
    author          TEXT    NOT NULL,
    is_open         BOOLEAN NOT NULL,
    seq             BIGINT  NOT NULL,
    changed_at      BIGINT  NOT NULL,
    PRIMARY KEY (source_id, number)
);

-- ── Deliveries ──────────────────────────────────────────────────────────────────────────────────
-- Bodies lie apart, so that lists stay light and bodies can go to object storage. resource_id is empty for what came to
-- a GitHub App's one webhook: there it is one delivery per source that builds through the App.
CREATE TABLE deliveries (
    id             UUID    NOT NULL PRIMARY KEY,
    resource_id    UUID    REFERENCES provider_resources (id) ON DELETE CASCADE,
    source_id      UUID    NOT NULL REFERENCES source_repositories (id) ON DELETE CASCADE,
    event          TEXT    NOT NULL,
    remote_id      TEXT    NOT NULL,
    attempt        INTEGER NOT NULL,
    headers        TEXT    NOT NULL,
    outcome        TEXT    NOT NULL,
    detail         TEXT,
    replay_of      UUID    REFERENCES deliveries (id) ON DELETE SET NULL,
    replayed_by    UUID    REFERENCES users (id) ON DELETE SET NULL,
    received_at    BIGINT  NOT NULL,
    handled_at     BIGINT,
    attempts       INTEGER NOT NULL,
    next_attempt_at BIGINT NOT NULL
);
CREATE INDEX deliveries_unhandled ON deliveries (next_attempt_at) WHERE handled_at IS NULL;
CREATE INDEX deliveries_unhandled_of_source ON deliveries (source_id, next_attempt_at) WHERE handled_at IS NULL;
CREATE INDEX deliveries_by_source ON deliveries (source_id, received_at);

CREATE TABLE delivery_bodies (
    delivery_id UUID  NOT NULL PRIMARY KEY REFERENCES deliveries (id) ON DELETE CASCADE,
    body        BYTEA NOT NULL
);

-- What came of each ref or pull request in a delivery.
CREATE TABLE delivery_changes (
    delivery_id  UUID    NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    source_id    UUID    NOT NULL,
    ref          TEXT    NOT NULL,
    pull_request BIGINT,
    before_sha   TEXT,
    after_sha    TEXT,
    result       TEXT    NOT NULL,
    change_id    UUID,
    PRIMARY KEY (delivery_id, position)
);
-- The memory of what a ref was ever said to hold.
CREATE INDEX delivery_changes_by_ref ON delivery_changes (source_id, ref);

-- ── Changes, checks, verdicts ───────────────────────────────────────────────────────────────────
-- The only thing that makes builds from pushes. state: observed, decided. Also the memory of what a ref ever held.
-- A change that a trigger made speaks to one configuration, perhaps to one rule, only; follows: the change that
-- its own look at the forge found. build_seq: what its builds carry, where that is not its own seq (replays).
CREATE TABLE ref_changes (
    id               UUID    NOT NULL PRIMARY KEY,
    source_id        UUID    NOT NULL REFERENCES source_repositories (id) ON DELETE CASCADE,
    ref              TEXT    NOT NULL,
    pull_request     BIGINT,
    old_sha          TEXT,
    new_sha          TEXT,
    seq              BIGINT  NOT NULL UNIQUE,
    cause            TEXT    NOT NULL,
    delivery_id      UUID    REFERENCES deliveries (id) ON DELETE SET NULL,
    actor            UUID    REFERENCES users (id) ON DELETE SET NULL,
    configuration_id UUID,
    rule_id          UUID,
    build_seq        BIGINT,
    follows          UUID,
    state            TEXT    NOT NULL,
    enrichment       TEXT,
    attempts         INTEGER NOT NULL,
    next_attempt_at  BIGINT  NOT NULL,
    asking_until     BIGINT,
    created_at       BIGINT  NOT NULL,
    decided_at       BIGINT
);
CREATE INDEX ref_changes_observed ON ref_changes (next_attempt_at) WHERE state = 'observed';
CREATE INDEX ref_changes_by_ref ON ref_changes (source_id, ref, new_sha);

-- Heads that the forge has to be asked for, because a hint did not follow from the record.
CREATE TABLE head_checks (
    id              UUID    NOT NULL PRIMARY KEY,
    source_id       UUID    NOT NULL REFERENCES source_repositories (id) ON DELETE CASCADE,
    ref             TEXT    NOT NULL,
    pull_request    BIGINT,
    cause           TEXT    NOT NULL,
    delivery_id     UUID    REFERENCES deliveries (id) ON DELETE CASCADE,
    position        INTEGER,
    hint            TEXT,
    attempts        INTEGER NOT NULL,
    next_attempt_at BIGINT  NOT NULL,
    last_error      TEXT,
    created_at      BIGINT  NOT NULL
);
CREATE INDEX head_checks_due ON head_checks (next_attempt_at);

-- verdict: slipway_types::decision::Verdict as JSON. admission: queued, or why not; empty where the verdict is no.
CREATE TABLE verdicts (
    change_id        UUID    NOT NULL REFERENCES ref_changes (id) ON DELETE CASCADE,
    configuration_id UUID    NOT NULL,
    rule_id          UUID    NOT NULL,
    position         INTEGER NOT NULL,
    rule             TEXT    NOT NULL,
    verdict          TEXT    NOT NULL,
    admission        TEXT,
    build_id         UUID,
    created_at       BIGINT  NOT NULL,
    PRIMARY KEY (change_id, configuration_id, rule_id)
);

-- ── Registries, repositories, configurations ────────────────────────────────────────────────────
-- namespace_id is empty for a registry that everybody here may use.
CREATE TABLE registries (
    id              UUID   NOT NULL PRIMARY KEY,
    namespace_id    UUID   REFERENCES namespaces (id) ON DELETE CASCADE,
    name            TEXT   NOT NULL,
    host            TEXT   NOT NULL,
    path_prefix     TEXT   NOT NULL,
    username        TEXT   NOT NULL,
    password_sealed TEXT,
    verified_at     BIGINT,
    created_at      BIGINT NOT NULL
);

CREATE TABLE repositories (
    id           UUID    NOT NULL PRIMARY KEY,
    namespace_id UUID    NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    name         TEXT    NOT NULL,
    description  TEXT    NOT NULL,
    private      BOOLEAN NOT NULL,
    registry_id  UUID    NOT NULL REFERENCES registries (id),
    image_path   TEXT    NOT NULL,
    last_number  BIGINT  NOT NULL,
    created_at   BIGINT  NOT NULL,
    UNIQUE (namespace_id, name)
);

-- level: read, write, admin.
CREATE TABLE team_permissions (
    repository_id UUID NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    team_id       UUID NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    level         TEXT NOT NULL,
    PRIMARY KEY (repository_id, team_id)
);

CREATE TABLE user_permissions (
    repository_id UUID NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    user_id       UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    level         TEXT NOT NULL,
    PRIMARY KEY (repository_id, user_id)
);

-- state: active, disconnected (its link was taken apart), blocked (its link cannot reach the source; why in state_reason).
CREATE TABLE configurations (
    id               UUID    NOT NULL PRIMARY KEY,
    repository_id    UUID    NOT NULL UNIQUE REFERENCES repositories (id) ON DELETE CASCADE,
    source_id        UUID    NOT NULL REFERENCES source_repositories (id),
    state            TEXT    NOT NULL,
    state_reason     TEXT,
    autotest         TEXT    NOT NULL,
    repository_links BOOLEAN NOT NULL,
    auto_repair      BOOLEAN NOT NULL,
    delivery_mode    TEXT    NOT NULL,
    poll_interval_s  BIGINT  NOT NULL,
    supersede        TEXT    NOT NULL,
    time_limit_s     BIGINT,
    builder_labels   TEXT    NOT NULL,
    version          BIGINT  NOT NULL,
    created_at       BIGINT  NOT NULL,
    updated_at       BIGINT  NOT NULL
);
CREATE INDEX configurations_by_source ON configurations (source_id);

-- fields: slipway_types::rule::RuleFields as JSON.
CREATE TABLE rules (
    id               UUID    NOT NULL PRIMARY KEY,
    configuration_id UUID    NOT NULL REFERENCES configurations (id) ON DELETE CASCADE,
    position         INTEGER NOT NULL,
    fields           TEXT    NOT NULL
);
CREATE INDEX rules_by_configuration ON rules (configuration_id);

CREATE TABLE variables (
    id               UUID    NOT NULL PRIMARY KEY,
    configuration_id UUID    NOT NULL REFERENCES configurations (id) ON DELETE CASCADE,
    position         INTEGER NOT NULL,
    name             TEXT    NOT NULL,
    value_sealed     TEXT    NOT NULL,
    UNIQUE (configuration_id, name)
);

CREATE TABLE triggers (
    id               UUID   NOT NULL PRIMARY KEY,
    configuration_id UUID   NOT NULL REFERENCES configurations (id) ON DELETE CASCADE,
    name             TEXT   NOT NULL,
    token_hash       TEXT   NOT NULL UNIQUE,
    created_by       UUID   REFERENCES users (id) ON DELETE SET NULL,
    created_at       BIGINT NOT NULL,
    last_used_at     BIGINT
);
CREATE INDEX triggers_by_configuration ON triggers (configuration_id);

-- ── Builds ──────────────────────────────────────────────────────────────────────────────────────
-- plan: what was decided when it was queued (rule, tags, image), as JSON, without secrets.
-- docker_repo: registry and path, which builds on one engine must not share. isolate: a stranger's code.
-- ready: its predecessors for all of its tags have ended. lease_no counts the runs' leases from 1; heartbeat is
-- a counter, not a clock. cancel: cancel, supersede; asked for while it runs.
CREATE TABLE builds (
    id               UUID    NOT NULL PRIMARY KEY,
    namespace_id     UUID    NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    repository_id    UUID    NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    number           BIGINT  NOT NULL,
    configuration_id UUID,
    rule_id          UUID,
    source_id        UUID    NOT NULL REFERENCES source_repositories (id),
    change_id        UUID    REFERENCES ref_changes (id) ON DELETE SET NULL,
    seq              BIGINT  NOT NULL,
    ref              TEXT    NOT NULL,
    pull_request     BIGINT,
    sha              TEXT    NOT NULL,
    cause            TEXT    NOT NULL,
    purpose          TEXT    NOT NULL,
    actor            UUID    REFERENCES users (id) ON DELETE SET NULL,
    retry_of         UUID    REFERENCES builds (id) ON DELETE SET NULL,
    plan             TEXT    NOT NULL,
    docker_repo      TEXT    NOT NULL,
    isolate          BOOLEAN NOT NULL,
    state            TEXT    NOT NULL,
    failure_kind     TEXT,
    message          TEXT,
    superseded_by    UUID    REFERENCES builds (id) ON DELETE SET NULL,
    canceled_by      UUID    REFERENCES users (id) ON DELETE SET NULL,
    ready            BOOLEAN NOT NULL,
    not_before       BIGINT  NOT NULL,
    runs             INTEGER NOT NULL,
    lease_no         INTEGER NOT NULL,
    builder_id       UUID,
    heartbeat        BIGINT  NOT NULL,
    batch_no         BIGINT  NOT NULL,
    cancel           TEXT,
    time_limit_s     BIGINT  NOT NULL,
    facts            TEXT    NOT NULL,
    queued_at        BIGINT  NOT NULL,
    started_at       BIGINT,
    ended_at         BIGINT,
    UNIQUE (repository_id, number)
);
CREATE INDEX builds_pending ON builds (namespace_id, seq) WHERE state = 'pending';
-- After builds_pending: of two that serve as well, SQLite takes the last, and leases must not read past builds that wait for
-- their predecessors.
CREATE INDEX builds_ready ON builds (namespace_id, seq) WHERE state = 'pending' AND ready;
CREATE INDEX builds_in_progress ON builds (namespace_id) WHERE state = 'in_progress';
CREATE INDEX builds_by_repository ON builds (repository_id, number);
CREATE INDEX builds_by_change ON builds (change_id);

-- The tags that a build writes, by where the image really is: two repositories may point at one place.
-- result: pushed, newer_holds_tag; empty until then.
CREATE TABLE build_tags (
    build_id  UUID    NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    registry  TEXT    NOT NULL,
    path      TEXT    NOT NULL,
    tag       TEXT    NOT NULL,
    position  INTEGER NOT NULL,
    seq       BIGINT  NOT NULL,
    open      BOOLEAN NOT NULL,
    result    TEXT,
    digest    TEXT,
    size      BIGINT,
    pushed_at BIGINT,
    PRIMARY KEY (build_id, registry, path, tag)
);
CREATE INDEX build_tags_open ON build_tags (registry, path, tag, seq) WHERE open;

-- What a tag holds, and who may move it: holder and lease_no name the live grant, empty when there is none.
-- verified_at is empty while the registry has still to be asked whether it agrees.
CREATE TABLE tag_heads (
    registry   TEXT   NOT NULL,
    path       TEXT   NOT NULL,
    tag        TEXT   NOT NULL,
    seq        BIGINT NOT NULL,
    build_id   UUID   REFERENCES builds (id) ON DELETE SET NULL,
    digest     TEXT,
    holder     UUID   REFERENCES builds (id) ON DELETE SET NULL,
    holder_seq BIGINT,
    lease_no   INTEGER,
    changed_at BIGINT NOT NULL,
    verified_at BIGINT,
    verify_attempts INTEGER NOT NULL,
    next_verify_at  BIGINT  NOT NULL,
    PRIMARY KEY (registry, path, tag)
);
CREATE INDEX tag_heads_unverified ON tag_heads (next_verify_at) WHERE verified_at IS NULL AND digest IS NOT NULL;
CREATE INDEX tag_heads_by_holder ON tag_heads (holder) WHERE holder IS NOT NULL;

CREATE TABLE build_phases (
    build_id   UUID    NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    lease_no   INTEGER NOT NULL,
    phase      TEXT    NOT NULL,
    started_at BIGINT  NOT NULL,
    ended_at   BIGINT,
    ok         BOOLEAN,
    PRIMARY KEY (build_id, lease_no, phase)
);

-- step: slipway_types::protocol::Step as JSON.
CREATE TABLE build_steps (
    build_id UUID    NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    lease_no INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    step     TEXT    NOT NULL,
    PRIMARY KEY (build_id, lease_no, number)
);

-- state: active, paused, draining, removed. One that is embedded in a server has neither hash.
-- registration_hash: of the one-time token by which a builder on another host comes in; token_hash: of the credential that it
-- made for itself and shows from then on. labels: what builds may ask for. namespaces: whose builds alone it gets; [] for
-- everybody's. only_labelled: it gets no builds but those that ask for one of its labels. The rest is its own word.
CREATE TABLE builders (
    id                   UUID    NOT NULL PRIMARY KEY,
    name                 TEXT    NOT NULL,
    registration_hash    TEXT    UNIQUE,
    registration_ends_at BIGINT,
    token_hash           TEXT    UNIQUE,
    state                TEXT    NOT NULL,
    labels               TEXT    NOT NULL,
    namespaces           TEXT    NOT NULL,
    only_labelled        BOOLEAN NOT NULL,
    host                 TEXT    NOT NULL,
    driver               TEXT    NOT NULL,
    isolates             BOOLEAN NOT NULL,
    platforms            TEXT    NOT NULL,
    slots                INTEGER NOT NULL,
    version              TEXT    NOT NULL,
    last_seen_at         BIGINT,
    created_at           BIGINT  NOT NULL
);
CREATE UNIQUE INDEX builders_name ON builders (name) WHERE state <> 'removed';

-- ── Outbox, audit, idempotency ──────────────────────────────────────────────────────────────────
-- Everything done at an outer system later or again. state: pending, done, given_up. The unlink ledger is a view by link_id.
CREATE TABLE outbox (
    id              UUID    NOT NULL PRIMARY KEY,
    kind            TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL UNIQUE,
    order_key       TEXT    NOT NULL,
    place           BIGINT  NOT NULL,
    payload         TEXT    NOT NULL,
    forge_id        UUID    REFERENCES forges (id),
    link_id         UUID    REFERENCES links (id) ON DELETE CASCADE,
    state           TEXT    NOT NULL,
    attempts        INTEGER NOT NULL,
    next_attempt_at BIGINT  NOT NULL,
    last_error      TEXT,
    created_at      BIGINT  NOT NULL,
    settled_at      BIGINT
);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'pending';
CREATE INDEX outbox_in_order ON outbox (order_key, place) WHERE state = 'pending';
CREATE INDEX outbox_by_link ON outbox (link_id);
INSERT INTO counters (name, value) VALUES ('outbox', 0);

CREATE TABLE audit (
    id           UUID   NOT NULL PRIMARY KEY,
    at           BIGINT NOT NULL,
    user_id      UUID,
    actor        TEXT   NOT NULL,
    address      TEXT,
    namespace_id UUID,
    repository_id UUID,
    act          TEXT   NOT NULL,
    object       TEXT   NOT NULL,
    detail       TEXT   NOT NULL
);
CREATE INDEX audit_by_namespace ON audit (namespace_id, at);
CREATE INDEX audit_by_repository ON audit (repository_id, at);

CREATE TABLE idempotency_keys (
    user_id      UUID    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key          TEXT    NOT NULL,
    request_hash TEXT    NOT NULL,
    status       INTEGER NOT NULL,
    body         TEXT    NOT NULL,
    created_at   BIGINT  NOT NULL,
    PRIMARY KEY (user_id, key)
);
