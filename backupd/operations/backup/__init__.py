"""`bkctl once`: from paths to a committed snapshot. Read running.py first; walk.py and building.py are its heart."""
