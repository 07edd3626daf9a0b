"""sums: what an attempt has stored, added up by triggers, and indexes that keep answers short

Revision: 20261209_sums, after 20261208_reasons

What is condensed says from here on where each extreme stands, and is made anew for that: the
service does it, a little at a time, and reads every value meanwhile.
"""

from collections.abc import Iterator, Mapping

import sqlalchemy as sa
from alembic import op

revision = '20261209_sums'
down_revision = '20261208_reasons'
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
THINNED = sa.text('thinned <> 0')
STALE = sa.text('stale_key IS NOT NULL')
UNPLACED = sa.text('places IS NULL')

OF_SNAPSHOTS = {
    'snapshots': '1',
    'received': "CASE WHEN {row}.state = 'received' THEN 1 ELSE 0 END",
    'measured': "CASE WHEN {row}.state = 'measured' THEN 1 ELSE 0 END",
    'judged': "CASE WHEN {row}.state = 'judged' THEN 1 ELSE 0 END",
    'late': "CASE WHEN {row}.state = 'late' THEN 1 ELSE 0 END",
    'failed': "CASE WHEN {row}.state = 'failed' THEN 1 ELSE 0 END",
    'judged_on_grid': "CASE WHEN {row}.state = 'judged' AND NOT {row}.off_grid THEN 1 ELSE 0 END",
    'with_values': 'CASE WHEN {row}.measured_at IS NOT NULL THEN 1 ELSE 0 END',
    'whole': 'CASE WHEN {row}.measured_at IS NOT NULL AND {row}.thinned = 0 THEN 1 ELSE 0 END',
}
OF_PARTS = {'blob_bytes': '{row}.blob_bytes + COALESCE({row}.stale_bytes, 0)'}
OF_SPECTRA = {'spectra': '1', 'spectrum_bytes': 'LENGTH({row}.singular_values)'}
OF_EXTREMES = {'extremes_bytes': 'LENGTH({row}.data)'}
TABLES: dict[str, Mapping[str, str]] = {
    'snapshots': OF_SNAPSHOTS,
    'parts': OF_PARTS,
    'spectra': OF_SPECTRA,
    'extremes': {'extremes_bytes': 'LENGTH({row}.data) + COALESCE(LENGTH({row}.places), 0)'},
    'kept_extremes': OF_EXTREMES,
}
CHANGING = {
    'snapshots': 'state, off_grid, measured_at, thinned',
    'parts': 'blob_bytes, stale_bytes',
    'spectra': 'singular_values',
    'extremes': 'data, places',
    'kept_extremes': 'data',
}
COLUMNS = [*OF_SNAPSHOTS, *OF_PARTS, *OF_SPECTRA, *OF_EXTREMES]


def upgrade() -> None:
    op.create_table(
        'attempt_sums',
        sa.Column('attempt_id', WHOLE, nullable=False),
        *(sa.Column(name, WHOLE, server_default='0', nullable=False) for name in COLUMNS),
        sa.ForeignKeyConstraint(
            ['attempt_id'], ['attempts.id'], name='fk_attempt_sums_attempt_id', ondelete='CASCADE'
        ),
        sa.PrimaryKeyConstraint('attempt_id', name='pk_attempt_sums'),
    )
    op.create_index(
        'ix_snapshots_thinned',
        'snapshots',
        ['attempt_id', 'step'],
        sqlite_where=THINNED,
        postgresql_where=THINNED,
    )
    op.create_index('ix_parts_blob_key', 'parts', ['blob_key'])
    op.create_index(
        'ix_parts_stale_key', 'parts', ['stale_key'], sqlite_where=STALE, postgresql_where=STALE
    )
    op.add_column('extremes', sa.Column('places', sa.LargeBinary(), nullable=True))
    op.create_index(
        'ix_extremes_unplaced',
        'extremes',
        ['attempt_id'],
        sqlite_where=UNPLACED,
        postgresql_where=UNPLACED,
    )
    is_sqlite = op.get_bind().dialect.name == 'sqlite'
    for statement in _sqlite_triggers() if is_sqlite else _postgresql_triggers():
        op.execute(statement)
    for statement in _counted():
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        for table in ('attempts', *TABLES):
            for what in ('insert', 'update', 'delete', 'parts'):
                op.execute(f'DROP TRIGGER IF EXISTS sums_of_{table}_{what}')
    else:
        for table in ('attempts', *TABLES):
            for what in ('insert', 'update', 'delete', 'parts'):
                op.execute(f'DROP TRIGGER IF EXISTS sums_of_{table}_{what} ON {table}')
                op.execute(f'DROP FUNCTION IF EXISTS sums_of_{table}_{what}()')
    op.drop_index('ix_parts_stale_key', table_name='parts')
    op.drop_index('ix_parts_blob_key', table_name='parts')
    op.drop_index('ix_snapshots_thinned', table_name='snapshots')
    op.drop_index('ix_extremes_unplaced', table_name='extremes')
    op.drop_column('extremes', 'places')
    op.drop_table('attempt_sums')


def _counted() -> Iterator[str]:
    """What is stored already."""
    yield 'INSERT INTO attempt_sums (attempt_id) SELECT id FROM attempts'
    for table, terms in TABLES.items():
        owner, rows = _owner(table), f'{table} r{_joined(table)}'
        sums = ', '.join(f'SUM({term.format(row="r")}) AS {name}' for name, term in terms.items())
        added = ', '.join(f'{name} = attempt_sums.{name} + d.{name}' for name in terms)
        yield (
            f'UPDATE attempt_sums SET {added} FROM '
            f'(SELECT {owner} AS owner, {sums} FROM {rows} GROUP BY {owner}) AS d '
            'WHERE attempt_sums.attempt_id = d.owner'
        )


def _owner(table: str) -> str:
    return 's.attempt_id' if table == 'parts' else 'r.attempt_id'


def _joined(table: str) -> str:
    return ' JOIN snapshots s ON s.id = r.snapshot_id' if table == 'parts' else ''


def _sqlite_triggers() -> Iterator[str]:
    """A row at a time: in SQLite that costs hardly more than the row itself."""
    yield (
        'CREATE TRIGGER sums_of_attempts_insert AFTER INSERT ON attempts BEGIN '
        'INSERT INTO attempt_sums (attempt_id) VALUES (NEW.id); END'
    )
    # While a snapshot is still there, so that what its parts took can be taken off.
    yield (
        'CREATE TRIGGER sums_of_snapshots_parts BEFORE DELETE ON snapshots BEGIN '
        'DELETE FROM parts WHERE snapshot_id = OLD.id; END'
    )
    for table, terms in TABLES.items():
        for what, rows in (
            ('insert', {'NEW': '+'}),
            ('update', {'NEW': '+', 'OLD': '-'}),
            ('delete', {'OLD': '-'}),
        ):
            row = next(iter(rows))
            owner = (
                f'(SELECT attempt_id FROM snapshots WHERE id = {row}.snapshot_id)'
                if table == 'parts'
                else f'{row}.attempt_id'
            )
            added = ', '.join(
                f'{name} = {name} '
                + ' '.join(f'{sign} ({term.format(row=row)})' for row, sign in rows.items())
                for name, term in terms.items()
            )
            columns = f' OF {CHANGING[table]}' if what == 'update' else ''
            yield (
                f'CREATE TRIGGER sums_of_{table}_{what} AFTER {what.upper()}{columns} '
                f'ON {table} BEGIN '
                f'UPDATE attempt_sums SET {added} WHERE attempt_id = {owner}; END'
            )


def _postgresql_triggers() -> Iterator[str]:
    """A statement at a time: each change of a row of sums leaves the one before it behind."""
    yield from _function(
        'attempts', 'insert', 'INSERT INTO attempt_sums (attempt_id) VALUES (NEW.id); RETURN NULL;'
    )
    yield (
        'CREATE TRIGGER sums_of_attempts_insert AFTER INSERT ON attempts '
        'FOR EACH ROW EXECUTE FUNCTION sums_of_attempts_insert()'
    )
    yield from _function(
        'snapshots', 'parts', 'DELETE FROM parts WHERE snapshot_id = OLD.id; RETURN OLD;'
    )
    yield (
        'CREATE TRIGGER sums_of_snapshots_parts BEFORE DELETE ON snapshots '
        'FOR EACH ROW EXECUTE FUNCTION sums_of_snapshots_parts()'
    )
    for table, terms in TABLES.items():
        for what, rows in (
            ('insert', {'new_rows': '+'}),
            ('update', {'new_rows': '+', 'old_rows': '-'}),
            ('delete', {'old_rows': '-'}),
        ):
            signed = ' UNION ALL '.join(
                f'SELECT {_owner(table)} AS owner, '
                + ', '.join(
                    f'{sign}({term.format(row="r")}) AS {name}' for name, term in terms.items()
                )
                + f' FROM {row} r{_joined(table)}'
                for row, sign in rows.items()
            )
            sums = ', '.join(f'SUM({name}) AS {name}' for name in terms)
            added = ', '.join(f'{name} = attempt_sums.{name} + d.{name}' for name in terms)
            changed = ' OR '.join(f'd.{name} <> 0' for name in terms)
            yield from _function(
                table,
                what,
                f'UPDATE attempt_sums SET {added} FROM '
                f'(SELECT owner, {sums} FROM ({signed}) AS signed GROUP BY owner) AS d '
                f'WHERE attempt_sums.attempt_id = d.owner AND ({changed}) '
                'AND EXISTS (SELECT 1 FROM attempts WHERE id = d.owner); RETURN NULL;',
            )
            named = ' '.join(f'{name.split("_")[0].upper()} TABLE AS {name}' for name in rows)
            yield (
                f'CREATE TRIGGER sums_of_{table}_{what} AFTER {what.upper()} ON {table} '
                f'REFERENCING {named} FOR EACH STATEMENT '
                f'EXECUTE FUNCTION sums_of_{table}_{what}()'
            )


def _function(table: str, what: str, body: str) -> Iterator[str]:
    yield (
        f'CREATE FUNCTION sums_of_{table}_{what}() RETURNS trigger LANGUAGE plpgsql AS '
        f'$$ BEGIN {body} END $$'
    )
