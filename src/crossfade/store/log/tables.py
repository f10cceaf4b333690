"""The tables as queries see them; `migrations` makes them."""

from sqlalchemy import BigInteger, Boolean, Column, Double, LargeBinary, MetaData, Table, Text

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("sequence", BigInteger, primary_key=True),
    Column("received_us", BigInteger, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("item_id", Text, nullable=False),
    Column("user_id", Text),
    Column("session_id", Text),
    Column("event", Text, nullable=False),
    Column("value", Double),
    Column("played_ms", BigInteger),
    Column("skipped", Boolean),
    Column("context", Text, nullable=False),
    Column("request_id", Text),
    Column("key", Text),
)

impressions = Table(
    "impressions",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
    Column("user_id", Text),
    Column("session_id", Text),
    Column("version", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("experiment", Text),
    Column("arm", Text),
    Column("items", Text, nullable=False),
    Column("features", LargeBinary),
    Column("shadow", Text),
)

feature_names = Table(
    "feature_names",
    metadata,
    Column("version", Text, primary_key=True),
    Column("request", Text, nullable=False),
    Column("item", Text, nullable=False),
)

monitor_reports = Table(
    "monitor_reports",
    metadata,
    Column("time_us", BigInteger, primary_key=True),
    Column("version", Text, nullable=False),
    Column("report", Text, nullable=False),
)

traffic = Table(
    "traffic",
    metadata,
    Column("hour_us", BigInteger, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("at_most_us", BigInteger, primary_key=True),
    Column("n", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Column("revoked_us", BigInteger),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("salt", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
)

heads = Table(  # of a user or of a session, exactly one of the two
    "heads",
    metadata,
    Column("user_id", Text),
    Column("session_id", Text),
    Column("version", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
)

log_state = Table(  # one row
    "log_state",
    metadata,
    Column("last_sequence", BigInteger, nullable=False),
    Column("salt", Text, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("available", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
    Column("columns", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("changed_us", BigInteger, nullable=False),
    Column("columns", Text, nullable=False),
)

experiments = Table(
    "experiments",
    metadata,
    Column("name", Text, primary_key=True),
    Column("settings", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

experiment_traffic = Table(
    "experiment_traffic",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
    Column("traffic", Double, nullable=False),
)
