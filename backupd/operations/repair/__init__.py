"""`bkctl check --repair`: what is damaged at a place is stored there again, from its parity or from a sibling.

Nothing is deleted, nothing overwritten: healed chunks lie in new blocks, which an index object names. Their old places
are recorded as damage, so that the next freeing finds that nobody needs the damaged blocks (DESIGN 8.3).
"""
