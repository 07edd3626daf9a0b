#!/bin/sh
# Run once, when the database is made: a role for Grafana that may log in and nothing more. What it may
# read it is told by `bifurk db grant grafana`, each time the stack starts.
set -eu
psql --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\set password `cat /run/secrets/grafana-database-password`
CREATE ROLE grafana LOGIN PASSWORD :'password' CONNECTION LIMIT 20;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
SQL
