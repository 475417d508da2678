"""Django's Postgres, of which web's threads share a few connections."""
