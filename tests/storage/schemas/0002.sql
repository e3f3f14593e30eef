BEGIN TRANSACTION;
CREATE TABLE automl_accounts (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR(255) NOT NULL, 
	token_digest VARCHAR(64) NOT NULL, 
	created DATETIME NOT NULL, 
	disabled DATETIME, 
	CONSTRAINT uq_automl_accounts_name UNIQUE (name), 
	CONSTRAINT uq_automl_accounts_token_digest UNIQUE (token_digest)
);
INSERT INTO "automl_accounts" VALUES(1,'ada','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','2026-11-25 20:04:22.931748',NULL);
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
);
INSERT INTO "automl_attempts" VALUES(1,1,0,NULL,'2026-11-25 20:04:22.931748','2026-11-25 20:04:22.948879','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(2,1,0,NULL,'2026-11-25 20:04:22.940942','2026-11-25 20:04:22.963724','WORKER_LOST',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(1,2,20,NULL,'2026-11-25 20:04:22.958746','2026-11-25 20:04:22.975368','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(2,2,0,NULL,'2026-11-25 20:04:22.969676','2026-11-25 20:04:22.999729','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(1,3,40,NULL,'2026-11-25 20:04:22.981799','2026-11-25 20:04:22.988010','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(1,4,80,NULL,'2026-11-25 20:04:22.993559','2026-11-25 20:04:23.339045','LOST',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(3,1,0,NULL,'2026-11-25 20:04:23.318536','2026-11-25 20:04:23.321661','NAN_LOSS',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(4,1,0,NULL,'2026-11-25 20:04:23.330864','2026-11-25 20:04:23.341904','LOST',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(1,5,80,NULL,'2026-11-25 20:04:23.354155','2026-11-25 20:04:23.387893','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(4,2,0,NULL,'2026-11-25 20:04:23.359550','2026-11-25 20:04:23.366012','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(5,1,0,NULL,'2026-11-25 20:04:23.380638','2026-11-25 20:04:23.403896','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(1,6,160,NULL,'2026-11-25 20:04:23.393777','2026-11-25 20:04:23.466689','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(6,1,0,NULL,'2026-11-25 20:04:23.412133','2026-11-25 20:04:23.417801','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(7,1,0,NULL,'2026-11-25 20:04:23.431885','2026-11-25 20:04:23.438527','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(2,3,20,NULL,'2026-11-25 20:04:23.444137','2026-11-25 20:04:23.450604','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(2,4,40,NULL,'2026-11-25 20:04:23.458828','2026-11-25 20:04:23.478195','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(1,7,317,NULL,'2026-11-25 20:04:23.472638','2026-11-25 20:04:23.490515','COMMITTED',NULL,NULL);
INSERT INTO "automl_attempts" VALUES(2,5,44,NULL,'2026-11-25 20:04:23.484005','2026-11-25 20:04:23.502506','COMMITTED',NULL,NULL);
CREATE TABLE automl_checkpoints (
	digest VARCHAR(64) NOT NULL, 
	bytes BIGINT NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_automl_checkpoints PRIMARY KEY (digest)
);
INSERT INTO "automl_checkpoints" VALUES('b7671e19f786c5ff6053e3b8d1c6974d56af61723d6b08f5d7e511d94855a1b4',4,'2026-11-25 20:04:22.947916');
INSERT INTO "automl_checkpoints" VALUES('29be7f140e9dbf2a194064e09a11b781188148b4be28372adcd852831498db1b',4,'2026-11-25 20:04:22.974844');
INSERT INTO "automl_checkpoints" VALUES('cd51c124c328ee35c58bf19cf821bd43c827f03fcd0d3b7ef67703568f87b4af',4,'2026-11-25 20:04:22.987530');
INSERT INTO "automl_checkpoints" VALUES('088635d2ca836ea0da5d761bec39b5e978b31f368c9f175b99c3aab4af60ac00',4,'2026-11-25 20:04:22.999176');
INSERT INTO "automl_checkpoints" VALUES('db37b4948a8367ac18b7e80e5fce526bdb44525501cf7bb7214a8482d5e61bd3',4,'2026-11-25 20:04:23.365310');
INSERT INTO "automl_checkpoints" VALUES('27c90d6476f0363af971c2b5cd2937b201776c728316bf7f217f68c78d645ba3',5,'2026-11-25 20:04:23.387340');
INSERT INTO "automl_checkpoints" VALUES('60db424f03c887fd037658b67fbd2b275fda9fe3170c439824afc8c244686cb1',4,'2026-11-25 20:04:23.403423');
INSERT INTO "automl_checkpoints" VALUES('5c7b35dbae7c0508424c6431d0b6d99d4c987dbf586b7af0863f3ebc9d33a4fc',4,'2026-11-25 20:04:23.417177');
INSERT INTO "automl_checkpoints" VALUES('dd7675c832522469e94c19945e68d7765530c6bc876461ee2fb7e3ec77c928ac',4,'2026-11-25 20:04:23.438059');
INSERT INTO "automl_checkpoints" VALUES('e643b2e05d6429edf5efbb285d3e7f83f499a79f68f61aa20c696aa876519f1f',4,'2026-11-25 20:04:23.450101');
INSERT INTO "automl_checkpoints" VALUES('7721cbe6a343f436f5e8e0aff3c43223e7783e983a453817d78c5f5b5b69be9a',5,'2026-11-25 20:04:23.466057');
INSERT INTO "automl_checkpoints" VALUES('dd18a34d867806ff77179ddd3795cceb5db68d775725e6a51d0035dd47a8a63b',4,'2026-11-25 20:04:23.477647');
INSERT INTO "automl_checkpoints" VALUES('261c62513e04867e2b54d0085616abf822e040246b0ed23f82a383d7e75d51ac',5,'2026-11-25 20:04:23.489843');
INSERT INTO "automl_checkpoints" VALUES('d233fb21d5cf49c25f55844db8b9f3a7b4e8cf4b02c2b78e2d9e8129753f9683',4,'2026-11-25 20:04:23.501971');
CREATE TABLE automl_events (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	search_id INTEGER NOT NULL, 
	created DATETIME NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	message VARCHAR(2000) NOT NULL, 
	CONSTRAINT fk_automl_events_search_id FOREIGN KEY(search_id) REFERENCES automl_searches (id) ON DELETE CASCADE
);
INSERT INTO "automl_events" VALUES(1,1,'2026-11-25 20:04:22.925994','start','trial 0 (Recurrent → Recurrent): started the default');
INSERT INTO "automl_events" VALUES(2,1,'2026-11-25 20:04:22.938614','start','trial 1 (Transformer → Transformer): started another family while the default is measured');
INSERT INTO "automl_events" VALUES(3,1,'2026-11-25 20:04:22.956452','thaw','continued 0: the leader at 2,000 tokens');
INSERT INTO "automl_events" VALUES(4,1,'2026-11-25 20:04:22.966047','warning','trial 1 lost its worker and goes on from its last checkpoint: as the test wants it');
INSERT INTO "automl_events" VALUES(5,1,'2026-11-25 20:04:22.967624','start','trial 1 (Transformer → Transformer): began again: its first segment was lost');
INSERT INTO "automl_events" VALUES(6,1,'2026-11-25 20:04:22.979251','thaw','continued 0: the leader at 4,000 tokens');
INSERT INTO "automl_events" VALUES(7,1,'2026-11-25 20:04:22.991240','thaw','continued 0: the leader at 8,000 tokens');
INSERT INTO "automl_events" VALUES(8,1,'2026-11-25 20:04:23.315838','start','trial 2 (Recurrent → Recurrent): started a new trial: no paused one is among the best at its rung');
INSERT INTO "automl_events" VALUES(9,1,'2026-11-25 20:04:23.324326','warning','trial 2 failed: NAN_LOSS, as the test wants it');
INSERT INTO "automl_events" VALUES(10,1,'2026-11-25 20:04:23.328699','start','trial 3 (Recurrent → Transformer): started a new trial: no paused one is among the best at its rung');
INSERT INTO "automl_events" VALUES(11,1,'2026-11-25 20:04:23.350761','thaw','continued 0: the leader at 8,000 tokens');
INSERT INTO "automl_events" VALUES(12,1,'2026-11-25 20:04:23.356881','start','trial 3 (Recurrent → Transformer): began again: its first segment was lost');
INSERT INTO "automl_events" VALUES(13,1,'2026-11-25 20:04:23.377960','start','trial 4 (Recurrent → Recurrent): started a new trial: no paused one is among the best at its rung');
INSERT INTO "automl_events" VALUES(14,1,'2026-11-25 20:04:23.391254','thaw','continued 0: the leader at 16,000 tokens');
INSERT INTO "automl_events" VALUES(15,1,'2026-11-25 20:04:23.409821','start','trial 5 (Transformer → Recurrent): started a new trial: no paused one is among the best at its rung');
INSERT INTO "automl_events" VALUES(16,1,'2026-11-25 20:04:23.429160','start','trial 6 (Recurrent → Recurrent): started a new trial: no paused one is among the best at its rung');
INSERT INTO "automl_events" VALUES(17,1,'2026-11-25 20:04:23.441762','thaw','thawed 1: 2nd of 6 at 2,000 tokens, still falling');
INSERT INTO "automl_events" VALUES(18,1,'2026-11-25 20:04:23.455047','thaw','thawed 1: the best that is paused, and there is time');
INSERT INTO "automl_events" VALUES(19,1,'2026-11-25 20:04:23.470052','train out','trains 0 out: the leader, over the last 14 s');
INSERT INTO "automl_events" VALUES(20,1,'2026-11-25 20:04:23.481520','train out','trains 1 out: a runner-up, over the last 14 s');
INSERT INTO "automl_events" VALUES(21,1,'2026-11-25 20:04:23.494146','wait','the time is spent');
INSERT INTO "automl_events" VALUES(22,1,'2026-11-25 20:04:23.506049','finish','the time is spent');
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
INSERT INTO "automl_searches" VALUES(1,'dates','{}','0000000000000000000000000000000000000000000000000000000000000000','finished','2026-11-25 20:04:22.886439','2026-11-25 20:04:23.507249',58.0,2000,NULL,NULL,'the default (Recurrent → Recurrent) won with sequence_error_rate 0.2807 on valid after 44,100 target tokens, against 1 of the best of 6 others','another process',2,1.04365714598800013847e+03,'ef228ac4-641e-40a7-80da-57d563fdd46b',0,NULL,0,0,NULL);
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
	attempt INTEGER, 
	CONSTRAINT pk_automl_segments PRIMARY KEY (trial_id, "index"), 
	CONSTRAINT fk_automl_segments_checkpoint FOREIGN KEY(checkpoint) REFERENCES automl_checkpoints (digest), 
	CONSTRAINT fk_automl_segments_trial_id FOREIGN KEY(trial_id) REFERENCES automl_trials (id) ON DELETE CASCADE, 
	CONSTRAINT uq_automl_segments_trial_id UNIQUE (trial_id, attempt), 
	CONSTRAINT ck_automl_segments_steps CHECK (to_step > from_step AND from_step >= 0)
);
INSERT INTO "automl_segments" VALUES(1,0,0,20,2000,'{"loss":3.0,"sequence_error_rate":1.0}','{"training":2.0,"compiling":2.0,"evaluating":0.5,"writing":0.0}','b7671e19f786c5ff6053e3b8d1c6974d56af61723d6b08f5d7e511d94855a1b4',0,NULL,'2026-11-25 20:04:22.948575',1);
INSERT INTO "automl_segments" VALUES(1,1,20,40,4000,'{"loss":2.4965864001685567,"sequence_error_rate":1.0}','{"training":2.0,"compiling":0.0,"evaluating":0.5,"writing":0.0}','29be7f140e9dbf2a194064e09a11b781188148b4be28372adcd852831498db1b',0,NULL,'2026-11-25 20:04:22.975098',2);
INSERT INTO "automl_segments" VALUES(1,2,40,80,8000,'{"loss":1.6290918698988173,"sequence_error_rate":0.8145459349494086}','{"training":4.0,"compiling":0.0,"evaluating":0.5,"writing":0.0}','cd51c124c328ee35c58bf19cf821bd43c827f03fcd0d3b7ef67703568f87b4af',0,NULL,'2026-11-25 20:04:22.987770',3);
INSERT INTO "automl_segments" VALUES(2,0,0,20,2000,'{"loss":3.0,"sequence_error_rate":1.0}','{"training":5.282137014921798,"compiling":2.0,"evaluating":0.5,"writing":0.0}','088635d2ca836ea0da5d761bec39b5e978b31f368c9f175b99c3aab4af60ac00',0,NULL,'2026-11-25 20:04:22.999459',2);
INSERT INTO "automl_segments" VALUES(4,0,0,20,2000,'{"loss":3.0,"sequence_error_rate":1.0}','{"training":2.3139679426487163,"compiling":2.0,"evaluating":0.5,"writing":0.0}','db37b4948a8367ac18b7e80e5fce526bdb44525501cf7bb7214a8482d5e61bd3',0,NULL,'2026-11-25 20:04:23.365698',2);
INSERT INTO "automl_segments" VALUES(1,3,80,160,16000,'{"loss":1.0950863476243862,"sequence_error_rate":0.5475431738121931}','{"training":8.0,"compiling":0.0,"evaluating":0.5,"writing":0.0}','27c90d6476f0363af971c2b5cd2937b201776c728316bf7f217f68c78d645ba3',0,NULL,'2026-11-25 20:04:23.387613',5);
INSERT INTO "automl_segments" VALUES(5,0,0,20,2000,'{"loss":3.0,"sequence_error_rate":1.0}','{"training":1.8746219672730255,"compiling":2.0,"evaluating":0.5,"writing":0.0}','60db424f03c887fd037658b67fbd2b275fda9fe3170c439824afc8c244686cb1',0,NULL,'2026-11-25 20:04:23.403659',1);
INSERT INTO "automl_segments" VALUES(6,0,0,20,2000,'{"loss":3.0,"sequence_error_rate":1.0}','{"training":1.490696893961431,"compiling":2.0,"evaluating":0.5,"writing":0.0}','5c7b35dbae7c0508424c6431d0b6d99d4c987dbf586b7af0863f3ebc9d33a4fc',0,NULL,'2026-11-25 20:04:23.417518',1);
INSERT INTO "automl_segments" VALUES(7,0,0,20,2000,'{"loss":3.0,"sequence_error_rate":1.0}','{"training":1.8088190902963746,"compiling":2.0,"evaluating":0.5,"writing":0.0}','dd7675c832522469e94c19945e68d7765530c6bc876461ee2fb7e3ec77c928ac',0,NULL,'2026-11-25 20:04:23.438280',1);
INSERT INTO "automl_segments" VALUES(2,1,20,40,4000,'{"loss":3.0,"sequence_error_rate":1.0}','{"training":5.282137014921794,"compiling":0.0,"evaluating":0.5,"writing":0.0}','e643b2e05d6429edf5efbb285d3e7f83f499a79f68f61aa20c696aa876519f1f',0,NULL,'2026-11-25 20:04:23.450344',3);
INSERT INTO "automl_segments" VALUES(1,4,160,317,31700,'{"loss":0.7698494365258931,"sequence_error_rate":0.38492471826294655}','{"training":15.695744537429363,"compiling":0.0,"evaluating":0.5,"writing":0.0}','7721cbe6a343f436f5e8e0aff3c43223e7783e983a453817d78c5f5b5b69be9a',0,NULL,'2026-11-25 20:04:23.466422',6);
INSERT INTO "automl_segments" VALUES(2,2,40,44,4400,'{"loss":3.0,"sequence_error_rate":1.0}','{"training":0.9255016283280213,"compiling":0.0,"evaluating":0.5,"writing":0.0}','dd18a34d867806ff77179ddd3795cceb5db68d775725e6a51d0035dd47a8a63b',0,NULL,'2026-11-25 20:04:23.477918',4);
INSERT INTO "automl_segments" VALUES(1,5,317,441,44100,'{"loss":0.5614422403277401,"sequence_error_rate":0.2807211201638701}','{"training":12.378,"compiling":0.0,"evaluating":0.5,"writing":0.0}','261c62513e04867e2b54d0085616abf822e040246b0ed23f82a383d7e75d51ac',1,NULL,'2026-11-25 20:04:23.490259',7);
INSERT INTO "automl_segments" VALUES(2,3,44,97,9700,'{"loss":2.55,"sequence_error_rate":1.0}','{"training":13.75,"compiling":0.0,"evaluating":0.5,"writing":0.0}','d233fb21d5cf49c25f55844db8b9f3a7b4e8cf4b02c2b78e2d9e8129753f9683',1,NULL,'2026-11-25 20:04:23.502245',5);
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
	CONSTRAINT fk_automl_trials_checkpoint FOREIGN KEY(checkpoint) REFERENCES automl_checkpoints (digest), 
	CONSTRAINT ck_automl_trials_checkpoint CHECK (state NOT IN ('PAUSED', 'COMPLETE') OR checkpoint IS NOT NULL), 
	CONSTRAINT ck_automl_trials_state CHECK (state IN ('RUNNING', 'PAUSED', 'COMPLETE', 'FAILED')), 
	CONSTRAINT fk_automl_trials_search_id FOREIGN KEY(search_id) REFERENCES automl_searches (id) ON DELETE CASCADE, 
	CONSTRAINT uq_automl_trials_search_id UNIQUE (search_id, number), 
	CONSTRAINT ck_automl_trials_reason CHECK ((state = 'FAILED') = (reason IS NOT NULL)), 
	CONSTRAINT ck_automl_trials_counts CHECK (number >= 0 AND segments >= 0 AND failures >= 0 AND attempts >= failures)
);
INSERT INTO "automl_trials" VALUES(1,1,0,'COMPLETE','{"kind":"Seq2Seq","encoder":{"kind":"Recurrent","cell":"lstm","hidden_size":128,"num_layers":1,"bidirectional":true},"decoder":{"kind":"Recurrent","cell":"lstm","hidden_size":128,"num_layers":1,"attention":{"kind":"Additive","size":128}},"optimizer":{"kind":"AdamW","learning_rate":0.002,"weight_decay":0.01,"warmup_steps":100},"dropout":0.3,"label_smoothing":0.1}',1234797308,'default',1000,441,44100,'261c62513e04867e2b54d0085616abf822e040246b0ed23f82a383d7e75d51ac',NULL,NULL,7,0,'2026-11-25 20:04:22.921704','2026-11-25 20:04:23.490775',6);
INSERT INTO "automl_trials" VALUES(2,1,1,'COMPLETE','{"kind":"Seq2Seq","encoder":{"kind":"Transformer","model_size":128,"num_layers":3,"feed_forward_ratio":4,"attention":{"kind":"MultiHead","num_heads":4}},"decoder":{"kind":"Transformer","model_size":128,"num_layers":2,"feed_forward_ratio":4,"attention":{"kind":"MultiHead","num_heads":4}},"optimizer":{"kind":"AdamW","learning_rate":0.002,"weight_decay":0.01,"warmup_steps":100},"dropout":0.3,"label_smoothing":0.1}',778162986,'family default',1000,97,9700,'d233fb21d5cf49c25f55844db8b9f3a7b4e8cf4b02c2b78e2d9e8129753f9683',NULL,NULL,5,0,'2026-11-25 20:04:22.936162','2026-11-25 20:04:23.502850',4);
INSERT INTO "automl_trials" VALUES(3,1,2,'FAILED','{"kind":"Seq2Seq","encoder":{"kind":"Recurrent","cell":"lstm","hidden_size":128,"num_layers":1,"bidirectional":true},"decoder":{"kind":"Recurrent","cell":"lstm","hidden_size":128,"num_layers":1,"attention":{"kind":"Additive","size":128}},"optimizer":{"kind":"AdamW","learning_rate":0.00256208051004897,"weight_decay":0.07210042609475474,"warmup_steps":200},"dropout":0.31326025818245523,"label_smoothing":0.015840476430447482}',707644324,'recipe',NULL,0,0,NULL,'NAN_LOSS','as the test wants it',1,0,'2026-11-25 20:04:23.313298','2026-11-25 20:04:23.321940',0);
INSERT INTO "automl_trials" VALUES(4,1,3,'PAUSED','{"kind":"Seq2Seq","encoder":{"kind":"Recurrent","cell":"lstm","hidden_size":128,"num_layers":1,"bidirectional":true},"decoder":{"kind":"Transformer","model_size":128,"num_layers":2,"feed_forward_ratio":4,"attention":{"kind":"MultiHead","num_heads":4}},"optimizer":{"kind":"AdamW","learning_rate":0.002,"weight_decay":0.01,"warmup_steps":100},"dropout":0.3,"label_smoothing":0.1}',1851678036,'family default',1000,20,2000,'db37b4948a8367ac18b7e80e5fce526bdb44525501cf7bb7214a8482d5e61bd3',NULL,NULL,2,0,'2026-11-25 20:04:23.326830','2026-11-25 20:04:23.366308',1);
INSERT INTO "automl_trials" VALUES(5,1,4,'PAUSED','{"kind":"Seq2Seq","encoder":{"kind":"Recurrent","cell":"lstm","hidden_size":128,"num_layers":1,"bidirectional":true},"decoder":{"kind":"Recurrent","cell":"lstm","hidden_size":128,"num_layers":1,"attention":{"kind":"Additive","size":128}},"optimizer":{"kind":"AdamW","learning_rate":0.0003250027842659312,"weight_decay":0.00014361740996297244,"warmup_steps":50},"dropout":0.4624768859002204,"label_smoothing":0.18944400976701925}',221822613,'recipe',1000,20,2000,'60db424f03c887fd037658b67fbd2b275fda9fe3170c439824afc8c244686cb1',NULL,NULL,1,0,'2026-11-25 20:04:23.375227','2026-11-25 20:04:23.404123',1);
INSERT INTO "automl_trials" VALUES(6,1,5,'PAUSED','{"kind":"Seq2Seq","encoder":{"kind":"Transformer","model_size":128,"num_layers":3,"feed_forward_ratio":4,"attention":{"kind":"MultiHead","num_heads":4}},"decoder":{"kind":"Recurrent","cell":"lstm","hidden_size":128,"num_layers":1,"attention":{"kind":"Additive","size":128}},"optimizer":{"kind":"AdamW","learning_rate":0.002,"weight_decay":0.01,"warmup_steps":100},"dropout":0.3,"label_smoothing":0.1}',1008181865,'family default',1000,20,2000,'5c7b35dbae7c0508424c6431d0b6d99d4c987dbf586b7af0863f3ebc9d33a4fc',NULL,NULL,1,0,'2026-11-25 20:04:23.407929','2026-11-25 20:04:23.418091',1);
INSERT INTO "automl_trials" VALUES(7,1,6,'PAUSED','{"kind":"Seq2Seq","encoder":{"kind":"Recurrent","cell":"lstm","hidden_size":128,"num_layers":1,"bidirectional":true},"decoder":{"kind":"Recurrent","cell":"lstm","hidden_size":128,"num_layers":1,"attention":{"kind":"Additive","size":128}},"optimizer":{"kind":"AdamW","learning_rate":0.0002714891870048079,"weight_decay":0.001331068812999499,"warmup_steps":100},"dropout":0.47088828237368513,"label_smoothing":0.04784044860144152}',216286202,'recipe',1000,20,2000,'dd7675c832522469e94c19945e68d7765530c6bc876461ee2fb7e3ec77c928ac',NULL,NULL,1,0,'2026-11-25 20:04:23.426929','2026-11-25 20:04:23.438752',1);
CREATE TABLE automl_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT automl_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "automl_version" VALUES('0002');
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
CREATE INDEX ix_automl_trials_checkpoint ON automl_trials (checkpoint);
CREATE INDEX ix_automl_segments_checkpoint ON automl_segments (checkpoint);
CREATE INDEX ix_automl_workers_search_id ON automl_workers (search_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('automl_events',22);
INSERT INTO "sqlite_sequence" VALUES('automl_searches',1);
INSERT INTO "sqlite_sequence" VALUES('automl_trials',7);
INSERT INTO "sqlite_sequence" VALUES('automl_accounts',1);
COMMIT;
