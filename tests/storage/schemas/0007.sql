BEGIN TRANSACTION;
CREATE TABLE "automl_accounts" (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR(255) NOT NULL, 
	created DATETIME NOT NULL, 
	disabled DATETIME, 
	quotas JSON, spent_seconds DOUBLE DEFAULT '0' NOT NULL, 
	CONSTRAINT uq_automl_accounts_name UNIQUE (name)
);
CREATE TABLE "automl_attempts" (
	trial_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	from_step BIGINT NOT NULL, 
	worker VARCHAR(255), 
	started DATETIME NOT NULL, 
	ended DATETIME, 
	end_reason VARCHAR(64), 
	epoch INTEGER, 
	seconds DOUBLE, 
	CONSTRAINT pk_automl_attempts PRIMARY KEY (trial_id, number), 
	CONSTRAINT fk_automl_attempts_trial_id FOREIGN KEY(trial_id) REFERENCES automl_trials (id) ON DELETE CASCADE, 
	CONSTRAINT ck_automl_attempts_ended CHECK ((ended IS NULL) = (end_reason IS NULL))
)
 WITHOUT ROWID

;
INSERT INTO "automl_attempts" VALUES(1,1,0,NULL,'2026-11-26 08:01:26.185126','2026-11-26 08:01:26.200663','COMMITTED',1,0.5);
INSERT INTO "automl_attempts" VALUES(1,2,10,NULL,'2026-11-26 08:01:26.204539','2026-11-26 08:01:26.220656','COMMITTED',1,0.5);
INSERT INTO "automl_attempts" VALUES(2,1,0,NULL,'2026-11-26 08:01:26.224582','2026-11-26 08:01:26.240664','COMMITTED',1,0.5);
INSERT INTO "automl_attempts" VALUES(2,2,10,NULL,'2026-11-26 08:01:26.242609','2026-11-26 08:01:26.244426','WORKER_LOST',1,NULL);
INSERT INTO "automl_attempts" VALUES(3,1,0,NULL,'2026-11-26 08:01:26.248509','2026-11-26 08:01:26.252522','NAN_LOSS',1,NULL);
INSERT INTO "automl_attempts" VALUES(4,1,0,NULL,'2026-11-26 08:01:26.256484',NULL,NULL,1,NULL);
CREATE TABLE automl_audit (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created DATETIME NOT NULL, 
	account VARCHAR(255), 
	action VARCHAR(64) NOT NULL, 
	subject VARCHAR(2000) NOT NULL, 
	status INTEGER NOT NULL, 
	address VARCHAR(64) NOT NULL
);
CREATE TABLE "automl_checkpoints" (
	digest VARCHAR(64) NOT NULL, 
	bytes BIGINT NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_automl_checkpoints PRIMARY KEY (digest)
)
 WITHOUT ROWID

;
INSERT INTO "automl_checkpoints" VALUES('12a33df646a0a6873070e87bf21219a91c32fe9ca8cde1d58356bc5464e2fcc9',1400,'2026-11-26 08:01:26.220656');
INSERT INTO "automl_checkpoints" VALUES('b0808ad02d1f1413d33efcb04a292f92230d72af01d7f124ab073d3b5d200b63',1400,'2026-11-26 08:01:26.240664');
INSERT INTO "automl_checkpoints" VALUES('f9dd48f90d0ae4a08622346fedb68c932cefb71d9d99ba7ba87558ffa909c692',1400,'2026-11-26 08:01:26.200663');
CREATE TABLE automl_events (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	search_id INTEGER NOT NULL, 
	created DATETIME NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	message VARCHAR(2000) NOT NULL, 
	CONSTRAINT fk_automl_events_search_id FOREIGN KEY(search_id) REFERENCES automl_searches (id) ON DELETE CASCADE
);
INSERT INTO "automl_events" VALUES(1,1,'2026-11-26 08:01:26.260499','start','trial 3: started');
CREATE TABLE automl_keys (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	account_id INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	label VARCHAR(255) NOT NULL, 
	scope VARCHAR(16) NOT NULL, 
	session BOOLEAN NOT NULL, 
	created DATETIME NOT NULL, 
	expires DATETIME, 
	revoked DATETIME, 
	CONSTRAINT ck_automl_keys_scope CHECK (scope IN ('read', 'run', 'admin')), 
	CONSTRAINT fk_automl_keys_account_id FOREIGN KEY(account_id) REFERENCES automl_accounts (id) ON DELETE CASCADE, 
	CONSTRAINT uq_automl_keys_digest UNIQUE (digest)
);
CREATE TABLE automl_receipts (
	account_id INTEGER NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	request VARCHAR(64) NOT NULL, 
	answer VARCHAR(255), 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_automl_receipts PRIMARY KEY (account_id, "key"), 
	CONSTRAINT fk_automl_receipts_account_id FOREIGN KEY(account_id) REFERENCES automl_accounts (id) ON DELETE CASCADE
);
CREATE TABLE "automl_searches" (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR(255) NOT NULL, 
	document JSON NOT NULL, 
	data_digest VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	created DATETIME NOT NULL, 
	updated DATETIME NOT NULL, 
	seconds DOUBLE NOT NULL, 
	rung_tokens BIGINT, 
	bundle TEXT, 
	summary JSON, 
	message VARCHAR(2000), 
	owner VARCHAR(255), 
	epoch INTEGER NOT NULL, 
	lease_until DOUBLE, 
	lease_boot VARCHAR(64), 
	detached BOOLEAN DEFAULT 0 NOT NULL, 
	options JSON, 
	takeovers INTEGER DEFAULT '0' NOT NULL, 
	turn INTEGER DEFAULT '0' NOT NULL, 
	account_id INTEGER, 
	CONSTRAINT uq_automl_searches_name UNIQUE (name), 
	CONSTRAINT fk_automl_searches_account_id FOREIGN KEY(account_id) REFERENCES automl_accounts (id) ON DELETE SET NULL, 
	CONSTRAINT ck_automl_searches_state CHECK (state IN ('queued', 'running', 'finished', 'interrupted', 'failed')), 
	CONSTRAINT ck_automl_searches_lease CHECK ((owner IS NULL) = (lease_until IS NULL)), 
	CONSTRAINT ck_automl_searches_detached CHECK (state <> 'queued' OR detached)
);
INSERT INTO "automl_searches" VALUES(1,'dates','{"name":"dates"}','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','finished','2026-11-26 08:01:26.064853','2026-11-26 08:01:26.270063',2.25,500,NULL,'{"budget":{"trials":4}}',NULL,NULL,1,NULL,NULL,0,NULL,0,0,NULL);
CREATE TABLE "automl_segments" (
	trial_id INTEGER NOT NULL, 
	"index" INTEGER NOT NULL, 
	from_step BIGINT NOT NULL, 
	to_step BIGINT NOT NULL, 
	tokens BIGINT NOT NULL, 
	scores JSON NOT NULL, 
	seconds JSON NOT NULL, 
	checkpoint VARCHAR(64) NOT NULL, 
	cooldown BOOLEAN NOT NULL, 
	worker VARCHAR(255), 
	created DATETIME NOT NULL, 
	attempt INTEGER, execution JSON, 
	CONSTRAINT pk_automl_segments PRIMARY KEY (trial_id, "index"), 
	CONSTRAINT fk_automl_segments_checkpoint FOREIGN KEY(checkpoint) REFERENCES automl_checkpoints (digest), 
	CONSTRAINT fk_automl_segments_trial_id FOREIGN KEY(trial_id) REFERENCES automl_trials (id) ON DELETE CASCADE, 
	CONSTRAINT uq_automl_segments_trial_id UNIQUE (trial_id, attempt), 
	CONSTRAINT ck_automl_segments_steps CHECK (to_step > from_step AND from_step >= 0)
);
INSERT INTO "automl_segments" VALUES(1,0,0,10,500,'{"loss":1.0,"sequence_error_rate":0.5}','{"training":0.5}','f9dd48f90d0ae4a08622346fedb68c932cefb71d9d99ba7ba87558ffa909c692',0,NULL,'2026-11-26 08:01:26.200663',1,NULL);
INSERT INTO "automl_segments" VALUES(1,1,10,20,1000,'{"loss":0.09090909090909091,"sequence_error_rate":0.5}','{"training":0.5}','12a33df646a0a6873070e87bf21219a91c32fe9ca8cde1d58356bc5464e2fcc9',0,NULL,'2026-11-26 08:01:26.220656',2,NULL);
INSERT INTO "automl_segments" VALUES(2,0,0,10,500,'{"loss":1.0,"sequence_error_rate":0.5}','{"training":0.5}','b0808ad02d1f1413d33efcb04a292f92230d72af01d7f124ab073d3b5d200b63',0,NULL,'2026-11-26 08:01:26.240664',1,NULL);
CREATE TABLE "automl_trials" (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	search_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	configuration JSON NOT NULL, 
	seed BIGINT NOT NULL, 
	origin VARCHAR(64) NOT NULL, 
	parameters BIGINT, 
	step BIGINT NOT NULL, 
	tokens BIGINT NOT NULL, 
	checkpoint VARCHAR(64), 
	reason VARCHAR(64), 
	message VARCHAR(2000), 
	attempts INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	created DATETIME NOT NULL, 
	updated DATETIME NOT NULL, 
	segments INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT ck_automl_trials_reason CHECK ((state = 'FAILED') = (reason IS NOT NULL)), 
	CONSTRAINT fk_automl_trials_search_id FOREIGN KEY(search_id) REFERENCES automl_searches (id) ON DELETE CASCADE, 
	CONSTRAINT ck_automl_trials_counts CHECK (number >= 0 AND segments >= 0 AND failures >= 0 AND attempts >= failures), 
	CONSTRAINT uq_automl_trials_search_id UNIQUE (search_id, number), 
	CONSTRAINT ck_automl_trials_state CHECK (state IN ('RUNNING', 'PAUSED', 'COMPLETE', 'FAILED')), 
	CONSTRAINT ck_automl_trials_checkpoint CHECK (state NOT IN ('PAUSED', 'COMPLETE') OR checkpoint IS NOT NULL)
);
INSERT INTO "automl_trials" VALUES(1,1,0,'COMPLETE','{"width":8,"number":0}',0,'sampler',9,20,1000,'12a33df646a0a6873070e87bf21219a91c32fe9ca8cde1d58356bc5464e2fcc9',NULL,NULL,2,0,'2026-11-26 08:01:26.165897','2026-11-26 08:01:26.220656',2);
INSERT INTO "automl_trials" VALUES(2,1,1,'PAUSED','{"width":8,"number":1}',1,'sampler',9,10,500,'b0808ad02d1f1413d33efcb04a292f92230d72af01d7f124ab073d3b5d200b63',NULL,NULL,2,1,'2026-11-26 08:01:26.172917','2026-11-26 08:01:26.244426',1);
INSERT INTO "automl_trials" VALUES(3,1,2,'FAILED','{"width":8,"number":2}',2,'sampler',NULL,0,0,NULL,'NAN_LOSS','the loss is not finite',1,0,'2026-11-26 08:01:26.176810','2026-11-26 08:01:26.252522',0);
INSERT INTO "automl_trials" VALUES(4,1,3,'RUNNING','{"width":8,"number":3}',3,'sampler',NULL,0,0,NULL,NULL,NULL,1,0,'2026-11-26 08:01:26.179737','2026-11-26 08:01:26.256484',0);
CREATE TABLE automl_uploads (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	account_id INTEGER NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	bytes BIGINT NOT NULL, 
	created DATETIME NOT NULL, used DATETIME, 
	CONSTRAINT fk_automl_uploads_account_id FOREIGN KEY(account_id) REFERENCES automl_accounts (id) ON DELETE CASCADE
);
CREATE TABLE automl_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT automl_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "automl_version" VALUES('0007');
CREATE TABLE automl_wishes (
	search_id INTEGER NOT NULL, 
	wish VARCHAR(16) NOT NULL, 
	CONSTRAINT pk_automl_wishes PRIMARY KEY (search_id), 
	CONSTRAINT ck_automl_wishes_wish CHECK (wish IN ('pause', 'cancel', 'restart')), 
	CONSTRAINT fk_automl_wishes_search_id FOREIGN KEY(search_id) REFERENCES automl_searches (id) ON DELETE CASCADE
);
CREATE TABLE automl_workers (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	owner VARCHAR(255) NOT NULL, 
	search_id INTEGER, 
	started DATETIME NOT NULL, 
	seen DOUBLE NOT NULL, 
	seen_boot VARCHAR(64) NOT NULL, 
	CONSTRAINT fk_automl_workers_search_id FOREIGN KEY(search_id) REFERENCES automl_searches (id) ON DELETE SET NULL, 
	CONSTRAINT uq_automl_workers_owner UNIQUE (owner)
);
CREATE INDEX ix_automl_events_search_id ON automl_events (search_id);
CREATE INDEX ix_automl_searches_account_id ON automl_searches (account_id);
CREATE INDEX ix_automl_segments_checkpoint ON automl_segments (checkpoint);
CREATE INDEX ix_automl_workers_search_id ON automl_workers (search_id);
CREATE INDEX ix_automl_keys_account_id ON automl_keys (account_id);
CREATE INDEX ix_automl_uploads_account_id ON automl_uploads (account_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('automl_searches',1);
INSERT INTO "sqlite_sequence" VALUES('automl_keys',0);
INSERT INTO "sqlite_sequence" VALUES('automl_accounts',0);
INSERT INTO "sqlite_sequence" VALUES('automl_events',1);
INSERT INTO "sqlite_sequence" VALUES('automl_trials',4);
COMMIT;
