"""What does a person see at ``/``?"""

from fastapi import APIRouter

router = APIRouter()
