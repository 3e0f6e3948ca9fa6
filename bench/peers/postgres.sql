-- The tables of the build in which Postgres alone decides and records. Half of each page is left
-- free, so that an UPDATE of a balance finds room beside it and touches no index.
create table accounts (
  id text primary key,
  balance bigint not null check (balance >= 0),
  seq integer not null default 0
) with (fillfactor = 50);
create table changes (
  account_id text not null,
  seq integer not null,
  amount bigint not null check (amount > 0),
  after bigint not null check (after >= 0),
  key_id text not null,
  interface text not null,
  quantity integer not null,
  request_id text not null,
  description text not null,
  at timestamptz not null default now(),
  primary key (account_id, seq)
);
