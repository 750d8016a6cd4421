"""Made-up people with names in many scripts; the same ones every time."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_TIERS: Final = ("green", "silver", "gold")
_PLANTS: Final = ("lemon tree", "fern", "rosemary", "camellia", "olive", "")


class _Place(NamedTuple):
    """Where names of one kind are at home. ``local`` names the addresses."""

    language: str
    local: str
    cities: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]


_PLACES: Final = (
    _Place("en", "rowan", ("York", "Bath", "Cork"), ("Ada", "Hugh", "Maeve", "Oscar"),
           ("Whitlock", "O'Dowd", "Ferris")),
    _Place("es", "lucia", ("Málaga", "León", "Cádiz"), ("Lucía", "Íñigo", "Nuria", "Álvaro"),
           ("Peñalver", "Ibáñez", "Quiroga")),
    _Place("de", "anneke", ("Köln", "Görlitz", "Zürich"), ("Anneke", "Jürgen", "Björn", "Grete"),
           ("Weißhaupt", "Löwe", "Strößner")),
    _Place("pl", "zofia", ("Łódź", "Kraków"), ("Zofia", "Łukasz", "Grażyna"),
           ("Wójcik", "Dąbrowska")),
    _Place("tr", "irmak", ("İzmir", "Eskişehir"), ("Irmak", "Çağlar", "Şule"),
           ("Gündüz", "Ağaoğlu")),
    _Place("el", "danae", ("Αθήνα", "Χανιά"), ("Δανάη", "Στέλιος", "Ελπίδα"),
           ("Παπαδάκη", "Καραμανλής")),
    _Place("uk", "oksana", ("Київ", "Львів"), ("Оксана", "Тарас", "Соломія"),
           ("Шевчук", "Коваленко")),
    _Place("ar", "layla", ("القاهرة", "فاس"), ("ليلى", "يوسف", "نور"), ("المنصوري", "حداد")),
    _Place("he", "tamar", ("חיפה", "יפו"), ("תמר", "אורי", "נועה"), ("לביא", "שרון")),
    _Place("hi", "asha", ("जयपुर", "पुणे"), ("आशा", "रवि", "मीरा"), ("शर्मा", "पटेल")),
    _Place("th", "malee", ("เชียงใหม่", "ภูเก็ต"), ("มาลี", "ณัฐ"), ("ศรีสุข", "ใจดี")),
    _Place("ja", "haruka", ("京都", "札幌"), ("遥", "健太", "さくら"), ("小林", "森本")),
    _Place("ko", "jiwoo", ("부산", "전주"), ("지우", "민준"), ("한", "류")),
    _Place("zh", "meilin", ("苏州", "成都"), ("美琳", "子轩"), ("欧阳", "林")),
)  # fmt: skip


def write_people(path: Path, count: int) -> None:
    """Write a CSV file of ``count`` people with distinct addresses."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ("Email", "First name", "Last name", "Language", "City", "Points", "Tier",
             "Favourite", "Voucher", "Last order")
        )  # fmt: skip
        writer.writerows(_people(count))


def _people(count: int) -> Iterator[tuple[object, ...]]:
    chance = random.Random(1987)  # noqa: S311 - the same people every time
    for number in range(count):
        place = chance.choice(_PLACES)
        points = chance.randrange(0, 600)
        yield (
            f"{place.local}.{number}@customers.example",
            chance.choice(place.first) if number % 23 else "",
            chance.choice(place.last),
            place.language,
            chance.choice(place.cities),
            points,
            _TIERS[points // 200],
            chance.choice(_PLANTS),
            f"SPRING-{chance.randrange(36**5):07X}",
            f"2026-{chance.randrange(1, 10):02d}-{chance.randrange(1, 28):02d}" if points else "",
        )
