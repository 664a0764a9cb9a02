"""Translate between Windows and IANA time zone names, and resolve either.

Graph speaks Windows names, Google speaks IANA names. The table holds the zones with an own rule that people's mailboxes
commonly use, after the default territory of CLDR's `windowsZones`; the rest pass through as IANA names, which Graph
accepts and returns as well.
"""

from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_PAIRS = """
UTC|Etc/UTC
GMT Standard Time|Europe/London Europe/Dublin Europe/Lisbon Atlantic/Canary
Greenwich Standard Time|Atlantic/Reykjavik Africa/Accra Africa/Abidjan
Morocco Standard Time|Africa/Casablanca
W. Europe Standard Time|Europe/Berlin Europe/Amsterdam Europe/Rome Europe/Stockholm Europe/Vienna Europe/Zurich
Romance Standard Time|Europe/Paris Europe/Brussels Europe/Copenhagen Europe/Madrid
Central Europe Standard Time|Europe/Budapest Europe/Prague Europe/Belgrade Europe/Ljubljana Europe/Bratislava
Central European Standard Time|Europe/Warsaw Europe/Zagreb Europe/Sarajevo Europe/Skopje
W. Central Africa Standard Time|Africa/Lagos Africa/Algiers Africa/Tunis
FLE Standard Time|Europe/Kyiv Europe/Kiev Europe/Helsinki Europe/Riga Europe/Sofia Europe/Tallinn Europe/Vilnius
GTB Standard Time|Europe/Bucharest Europe/Athens
E. Europe Standard Time|Europe/Chisinau
Middle East Standard Time|Asia/Beirut
Egypt Standard Time|Africa/Cairo
Israel Standard Time|Asia/Jerusalem
Jordan Standard Time|Asia/Amman
West Bank Standard Time|Asia/Hebron Asia/Gaza
South Africa Standard Time|Africa/Johannesburg Africa/Harare
Turkey Standard Time|Europe/Istanbul
Russian Standard Time|Europe/Moscow
Arab Standard Time|Asia/Riyadh Asia/Kuwait
Arabic Standard Time|Asia/Baghdad
E. Africa Standard Time|Africa/Nairobi
Iran Standard Time|Asia/Tehran
Arabian Standard Time|Asia/Dubai
Afghanistan Standard Time|Asia/Kabul
Pakistan Standard Time|Asia/Karachi
India Standard Time|Asia/Kolkata Asia/Calcutta
Sri Lanka Standard Time|Asia/Colombo
Nepal Standard Time|Asia/Kathmandu Asia/Katmandu
Bangladesh Standard Time|Asia/Dhaka
Myanmar Standard Time|Asia/Yangon
SE Asia Standard Time|Asia/Bangkok Asia/Jakarta
China Standard Time|Asia/Shanghai Asia/Hong_Kong
Singapore Standard Time|Asia/Singapore Asia/Kuala_Lumpur Asia/Manila
Taipei Standard Time|Asia/Taipei
W. Australia Standard Time|Australia/Perth
Tokyo Standard Time|Asia/Tokyo
Korea Standard Time|Asia/Seoul
Cen. Australia Standard Time|Australia/Adelaide
AUS Central Standard Time|Australia/Darwin
E. Australia Standard Time|Australia/Brisbane
AUS Eastern Standard Time|Australia/Sydney Australia/Melbourne Australia/Canberra
Tasmania Standard Time|Australia/Hobart
Lord Howe Standard Time|Australia/Lord_Howe
New Zealand Standard Time|Pacific/Auckland
Chatham Islands Standard Time|Pacific/Chatham
Tonga Standard Time|Pacific/Tongatapu
Samoa Standard Time|Pacific/Apia
Line Islands Standard Time|Pacific/Kiritimati
UTC-11|Etc/GMT+11 Pacific/Pago_Pago
Hawaiian Standard Time|Pacific/Honolulu
Alaskan Standard Time|America/Anchorage
Pacific Standard Time|America/Los_Angeles America/Vancouver
US Mountain Standard Time|America/Phoenix
Mountain Standard Time|America/Denver America/Edmonton
Canada Central Standard Time|America/Regina
Central Standard Time|America/Chicago America/Winnipeg
Central Standard Time (Mexico)|America/Mexico_City
Eastern Standard Time|America/New_York America/Toronto America/Detroit
US Eastern Standard Time|America/Indiana/Indianapolis
Cuba Standard Time|America/Havana
SA Pacific Standard Time|America/Bogota America/Lima
Atlantic Standard Time|America/Halifax
Paraguay Standard Time|America/Asuncion
Venezuela Standard Time|America/Caracas
Pacific SA Standard Time|America/Santiago
Newfoundland Standard Time|America/St_Johns
E. South America Standard Time|America/Sao_Paulo
Argentina Standard Time|America/Argentina/Buenos_Aires America/Buenos_Aires
Montevideo Standard Time|America/Montevideo
Azores Standard Time|Atlantic/Azores
"""


def _rows() -> list[tuple[str, list[str]]]:
    lines = (line.partition("|") for line in _PAIRS.strip().splitlines())
    return [(windows, names.split()) for windows, _, names in lines]


_TO_IANA = {windows: names[0] for windows, names in _rows()}
_TO_WINDOWS = {name: windows for windows, names in _rows() for name in names} | {"UTC": "UTC"}
# Exchange writes this for items made by clients that named no zone.
_TO_IANA["tzone://Microsoft/Utc"] = "Etc/UTC"


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo | None:
    """Return the zone with that Windows or IANA name, None when there is none."""
    try:
        return ZoneInfo(_TO_IANA.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # zoneinfo raises all three for names that look like paths, are empty or unknown.
        return None


def windows_name(name: str) -> str:
    """Return the Windows name of an IANA zone; the name itself when the table has none."""
    return name if name in _TO_IANA else _TO_WINDOWS.get(name, name)


def windows_zones() -> list[str]:
    """Return all Windows names of the table, as `supportedTimeZones` lists them."""
    return [windows for windows, _ in _rows()]
