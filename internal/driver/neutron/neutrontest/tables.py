"""Makes Neutron's tables in a new database: its migrations do not run on SQLite. Argument: the database's URL."""
import sys

import sqlalchemy

from neutron.db.migration.models import head

head.get_metadata().create_all(sqlalchemy.create_engine(sys.argv[1]))
