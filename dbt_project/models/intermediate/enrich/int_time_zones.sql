select distinct timezone
from {{ time_zone_names() }} as zones
