"""The ledger of claims: what the paper says, what the runs in the store say, and a verdict on each."""

from lib.analysis.claims.verdicts import CLAIMS, ledger, runs_of

__all__ = ["CLAIMS", "ledger", "runs_of"]
