"""The matching engine, its ledger, its journal and its reference."""
