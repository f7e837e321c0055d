"""The whole way on embedded data: what it trains (`plans`), and the going of it (`way`, which loads everything)."""
