"""The dialect that BTCPay's clients and plugins speak (Greenfield, ``/api/v1``)."""
