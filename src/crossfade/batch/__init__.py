"""Lists of all users at once: to Parquet, in parts that survive a kill, in bounded memory."""

from crossfade.batch.run import CHUNK, Made, recommend_all, user_rng
from crossfade.batch.users import read_users

__all__ = ["CHUNK", "Made", "read_users", "recommend_all", "user_rng"]
