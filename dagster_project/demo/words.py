"""The words the company is made of: countries, zones, languages, names. All of it invented or generic, as SQL.

`countries.weight` sums to 100: a country's share of the accounts in percent. `zones` and `locales` are drawn evenly, so
a repeated entry is a heavier one. Every name comes with the ASCII form that its mail address uses.
"""

from __future__ import annotations

COUNTRIES = """
create temp table countries as
select * from (values
    ('AE', 2, 'ar', ['Asia/Dubai'], ['ar', 'ar-AE', 'en']),
    ('AT', 3, 'de', ['Europe/Vienna'], ['de', 'de-AT']),
    ('AU', 2, 'en', ['Australia/Sydney', 'Australia/Perth'], ['en-AU', 'en']),
    ('BR', 3, 'pt', ['America/Sao_Paulo'], ['pt-BR', 'pt-BR', 'en']),
    ('CA', 4, 'en', ['America/Toronto', 'America/Vancouver'], ['en-CA', 'en', 'fr-CA']),
    ('CH', 3, 'de', ['Europe/Zurich'], ['de-CH', 'de', 'fr-CH']),
    ('DE', 18, 'de', ['Europe/Berlin'], ['de', 'de', 'de', 'de-DE', 'de_DE']),
    ('EG', 2, 'ar', ['Africa/Cairo'], ['ar', 'ar-EG']),
    ('ES', 8, 'es', ['Europe/Madrid', 'Europe/Madrid', 'Europe/Madrid', 'Atlantic/Canary'], ['es', 'es', 'es-ES']),
    ('FR', 12, 'fr', ['Europe/Paris'], ['fr', 'fr', 'fr-FR']),
    ('GB', 12, 'en', ['Europe/London'], ['en-GB', 'en-GB', 'en']),
    ('IN', 2, 'in', ['Asia/Kolkata'], ['en-IN', 'en']),
    ('JP', 6, 'ja', ['Asia/Tokyo'], ['ja', 'ja', 'ja-JP']),
    ('MX', 2, 'es', ['America/Mexico_City'], ['es-MX', 'es']),
    ('SA', 2, 'ar', ['Asia/Riyadh'], ['ar', 'ar-SA']),
    ('US', 19, 'en', ['America/New_York', 'America/New_York', 'America/Chicago', 'America/Denver',
        'America/Los_Angeles'],
        ['en', 'en', 'en-US'])
) as drawn(country, weight, language, zones, locales)
"""

NAMES = """
create temp table names as
select * from (values
    ('en', ['Olivia', 'Jack', 'Amelia', 'Noah', 'Grace', 'Liam', 'Chloé', 'Ethan', 'O''Brien', 'Zoë', 'Mary-Ann',
        'Samuel',
            'Ruby', 'D''Arcy', 'Hannah', 'Oscar'],
           ['olivia', 'jack', 'amelia', 'noah', 'grace', 'liam', 'chloe', 'ethan', 'obrien', 'zoe', 'mary-ann',
               'samuel',
            'ruby', 'darcy', 'hannah', 'oscar']),
    ('de', ['Jürgen', 'Anna', 'Björn', 'Käthe', 'Lukas', 'Sören', 'Marie', 'Günther', 'Lena', 'Özlem', 'Felix', 'Jörg'],
           ['juergen', 'anna', 'bjoern', 'kaethe', 'lukas', 'soeren', 'marie', 'guenther', 'lena', 'oezlem', 'felix',
               'joerg']),
    ('fr', ['Zoë', 'François', 'Amélie', 'Hélène', 'Loïc', 'Camille', 'Benoît', 'Anaïs', 'Jean-Luc', 'Margaux', 'Théo',
        'Inès'],
           ['zoe', 'francois', 'amelie', 'helene', 'loic', 'camille', 'benoit', 'anais', 'jean-luc', 'margaux', 'theo',
               'ines']),
    ('es', ['José', 'Lucía', 'Íñigo', 'Begoña', 'Martín', 'Sofía', 'Raúl', 'Núria', 'Pablo', 'Inés', 'Ángel', 'Carmen'],
           ['jose', 'lucia', 'inigo', 'begona', 'martin', 'sofia', 'raul', 'nuria', 'pablo', 'ines', 'angel',
               'carmen']),
    ('pt', ['João', 'Beatriz', 'Tainá', 'Antônio', 'Luíza', 'Caetano', 'Conceição', 'Rafael'],
           ['joao', 'beatriz', 'taina', 'antonio', 'luiza', 'caetano', 'conceicao', 'rafael']),
    ('ja', ['陽子', '健太', '美咲', '翔', '直子', 'さくら', '大輔', '恵', '蓮', 'ユイ'],
           ['yoko', 'kenta', 'misaki', 'sho', 'naoko', 'sakura', 'daisuke', 'megumi', 'ren', 'yui']),
    ('ar', ['محمد', 'فاطمة', 'علي', 'ليلى', 'عمر', 'نور', 'خالد', 'مريم', 'يوسف', 'سارة'],
           ['mohammed', 'fatima', 'ali', 'layla', 'omar', 'nour', 'khaled', 'maryam', 'youssef', 'sara']),
    ('in', ['Priya', 'Arjun', 'Ananya', 'Rohan', 'Kavya', 'Vikram', 'Meera', 'Aditya'],
           ['priya', 'arjun', 'ananya', 'rohan', 'kavya', 'vikram', 'meera', 'aditya'])
) as listed(language, shown, ascii)
"""

COMPANY_WORDS = """
create temp table company_words as
select
    ['Amber', 'Birch', 'Cobalt', 'Delta', 'Ember', 'Fjord', 'Granite', 'Harbour', 'Indigo', 'Juniper', 'Kestrel',
        'Lumen',
     'Maple', 'Nordwind', 'Opal', 'Pinecone', 'Quarry', 'Rivulet', 'Saffron', 'Tidal', 'Umber', 'Velvet', 'Willow',
     'Zephyr'] as firsts,
    ['Analytics', 'Bakery', 'Clinics', 'Dynamics', 'Energy', 'Foods', 'Freight', 'Games', 'Health', 'Homes',
        'Insurance',
     'Kitchens', 'Labs', 'Logistics', 'Media', 'Optics', 'Partners', 'Retail', 'Robotics', 'Schools', 'Studios',
         'Textiles',
     'Travel', 'Works'] as seconds,
    ['retail', 'logistics', 'software', 'media', 'health', 'education', 'manufacturing', 'finance', 'hospitality',
     'nonprofit'] as industries
"""

BAD_ZONES = "['Mars/Phobos', 'GMT+25', 'Europe/Atlantis', 'CEST?', 'local']"

TICKET_SUBJECTS = """[
    'Cannot connect my data source', 'Invoice shows the wrong address', 'Export stops at 10,000 rows',
    'How do I add a teammate?', 'Bericht lädt nicht', 'Le tableau de bord est vide', 'No puedo iniciar sesión',
    'レポートを共有できません', 'لا أستطيع فتح التقرير', 'Alerts arrive twice', 'Question about our plan',
    'Please delete my old workspace']"""
